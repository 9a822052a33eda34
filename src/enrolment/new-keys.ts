import { IngestError } from "../errors.js";
import type { ClientCertificates } from "../identity/client-certificates.js";
import type { SigningKeys } from "../identity/signing-keys.js";
import { createId } from "../lib/ids.js";
import type { Database, Queryable } from "../store/database.js";
import type { UsableToken } from "../store/enrolment-tokens.js";
import { lockRegistrationKey } from "../store/registration-locks.js";
import { findKnownAgent, isGone, type KnownAgent } from "../store/registrations.js";
import { hashEnrolmentToken } from "./enrolment-token.js";
import type { EnrolmentEvents } from "./events.js";
import { KeyTaken, writeEnrolment } from "./new-enrolment.js";
import type { Registration } from "./registration-request.js";
import { answerActive, type RegistrationResult } from "./registration-result.js";
import { requireUsableToken, type TokenProblem, TokenUnusable } from "./token-check.js";

/** What {@link NewKeys} needs. */
export interface NewKeysOptions {
  database: Database;
  clientCertificates: ClientCertificates;
  signingKeys: SigningKeys;
  events: EnrolmentEvents;
}

/** Enrols keys that no agent has: each takes one use of an enrolment token. */
export class NewKeys {
  constructor(private readonly options: NewKeysOptions) {}

  /**
   * Enrols a key.
   *
   * @param gone the agent that had the key and was deleted; it is revived
   * @returns undefined when the key became known meanwhile
   * @throws IngestError `invalid_field`, `enrolment_token_unusable`
   */
  async enrol(
    registration: Registration,
    remoteAddress: string,
    gone: KnownAgent | undefined,
  ): Promise<RegistrationResult | undefined> {
    const { database, signingKeys, events } = this.options;
    const { publicKey } = registration;
    try {
      const token = await requireUsableToken(database.db, registration.orgToken);
      const { identity, certificate } = await database.transaction((tx) =>
        this.#write(tx, registration, token, gone?.id),
      );
      const status = certificate === undefined ? "pending" : "active";
      events.enrolled({ ...identity, status, hostname: registration.hostname, tokenId: token.id, remoteAddress });
      return certificate === undefined
        ? { status: "pending", agentId: identity.agentId }
        : await answerActive(signingKeys, { ...identity, publicKey }, certificate);
    } catch (error) {
      if (error instanceof KeyTaken) return undefined;
      if (!(error instanceof TokenUnusable)) throw error;
      // Another request with the same key may have been faster, and have taken the token's last use.
      const known = await findKnownAgent(database.db, registration.publicKey.pem);
      if (known !== undefined && !isGone(known)) return undefined;
      throw this.#refuse(error.problem, registration, remoteAddress);
    }
  }

  async #write(tx: Queryable, registration: Registration, token: UsableToken, goneId: string | undefined) {
    await lockRegistrationKey(tx, registration.publicKey.pem);
    if (goneId !== undefined) {
      const current = await findKnownAgent(tx, registration.publicKey.pem);
      if (current?.id !== goneId || !isGone(current)) throw new KeyTaken();
    }
    const identity = { agentId: goneId ?? createId(), organisationId: token.organisationId };
    const certificate = token.autoApprove
      ? await this.options.clientCertificates.issue(identity, registration.publicKey)
      : undefined;
    await writeEnrolment(tx, {
      identity,
      registration,
      token,
      certificate,
      revives: goneId !== undefined,
    });
    return { identity, certificate };
  }

  /** One text for all reasons: which one it was helps only somebody who guesses tokens, and the operator. */
  #refuse(problem: TokenProblem, { orgToken, hostname }: Registration, remoteAddress: string): IngestError {
    const reason = `token_${problem}`;
    const tokenHashPrefix = hashEnrolmentToken(orgToken).slice(0, 8);
    this.options.events.refused({ reason, tokenHashPrefix, hostname, remoteAddress });
    return new IngestError(
      "enrolment_token_unusable",
      "the enrolment token cannot be used; ask the operator of CT-Ops for a new one",
      { reason },
    );
  }
}
