import { IngestError } from "../errors.js";
import type { ClientCertificates } from "../identity/client-certificates/client-certificates.js";
import type { IssuedCertificate } from "../identity/client-certificates/issue-client-certificate.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";
import { createId } from "../lib/ids.js";
import { releaseKey } from "../store/agents/agents.js";
import type { Database } from "../store/database.js";
import { findKnownAgent, isGone, type KnownAgent } from "../store/enrolment/known-agents.js";
import { findMatchingHosts, type MachineDescription, type MatchingHost } from "../store/enrolment/matching-hosts.js";
import { registrationLocks, takeRegistrationLocks } from "../store/enrolment/registration-locks.js";
import { lockHostNow } from "../store/hosts/hosts.js";
import type { Transaction } from "../store/transaction.js";
import { writeAdoption } from "./duplicates/adoption.js";
import { describeMatch, duplicateRefusal } from "./duplicates/duplicate-refusal.js";
import { type DuplicateDecision, decideDuplicate } from "./duplicates/duplicate-rule.js";
import { type Enrolment, machineOf, type NewKey } from "./enrolment.js";
import type { EnrolmentEvents } from "./events.js";
import { GroupEnrolment } from "./group-enrolment.js";
import type { Registration } from "./registration-request.js";
import { answerActive, type RegistrationResult } from "./registration-result.js";
import { hashEnrolmentToken } from "./tokens/enrolment-token.js";
import { type TokenCheck, type TokenProblem, TokenUnusable } from "./tokens/token-check.js";
import { KeyTaken, writeEnrolments, writeRevival } from "./write-enrolment.js";

/** What {@link Enroller} needs. */
export interface EnrollerOptions {
  database: Database;
  tokenCheck: TokenCheck;
  clientCertificates: ClientCertificates;
  signingKeys: SigningKeyRing;
  events: EnrolmentEvents;
  /** Whether a token that approves by itself also approves that a new key takes an agent over. */
  adoptAutoApprove: boolean;
}

/** Enrols keys that no agent has: each takes one use of an enrolment token. */
export class Enroller {
  readonly #group: GroupEnrolment;

  constructor(private readonly options: EnrollerOptions) {
    this.#group = new GroupEnrolment(options);
  }

  /**
   * Enrols a key.
   *
   * @param gone the agent that had the key and was deleted
   * @returns undefined when the key became known meanwhile
   * @throws IngestError `invalid_field`, `enrolment_token_unusable`, `host_exists`
   */
  async enrol(
    registration: Registration,
    remoteAddress: string,
    gone: KnownAgent | undefined,
  ): Promise<RegistrationResult | undefined> {
    const { database, tokenCheck, signingKeys, events } = this.options;
    const { publicKey, hostname } = registration;
    try {
      const token = await tokenCheck.requireUsable(registration.orgToken);
      const fresh = await this.#prepare({ registration, token }, gone?.id ?? createId());
      const isWritten = gone === undefined && (await this.#group.enrol(fresh));
      const { identity, certificate, adopted }: WrittenEnrolment = isWritten
        ? fresh
        : await database.transaction((tx) => this.#write(tx, fresh, { goneId: gone?.id, remoteAddress }));
      const status = certificate === undefined ? "pending" : "active";
      const event = { ...identity, status, hostname, tokenId: token.id, remoteAddress } as const;
      if (adopted === undefined) events.enrolled(event);
      else events.adopted({ ...event, hostId: adopted.hostId, matched: describeMatch(adopted) });
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

  /**
   * The enrolment as it is written if the machine is a new one. It is signed before the transaction, though one that is
   * refused has no use for that: a transaction that signed fifty would hold its locks for as long.
   */
  async #prepare(key: NewKey, agentId: string): Promise<Enrolment> {
    const identity = { agentId, organisationId: key.token.organisationId };
    return { ...key, identity, certificate: key.token.autoApprove ? await this.#sign(identity, key) : undefined };
  }

  async #write(tx: Transaction, fresh: Enrolment, { goneId, remoteAddress }: Claim): Promise<WrittenEnrolment> {
    const publicKey = fresh.registration.publicKey.pem;
    const machine = { ...machineOf(fresh), exceptOfAgent: goneId };
    await takeRegistrationLocks(tx, registrationLocks(publicKey, machine));
    const decision = await decide(tx, machine);
    // Making a new agent shows by itself whether another request with the same key was faster.
    if (goneId !== undefined || decision.kind !== "new") await requireKeyStillFree(tx, publicKey, goneId);
    if (decision.kind === "refuse" || decision.kind === "ambiguous") throw duplicateRefusal(decision);

    if (decision.kind === "new") {
      if (goneId !== undefined) await writeRevival(tx, fresh);
      else if ((await writeEnrolments(tx, [fresh])).length === 0) throw new KeyTaken();
      return fresh;
    }
    const adopted = decision.host;
    const claim = await this.#claim(fresh, adopted);
    const revives = claim.identity.agentId === goneId;
    if (goneId !== undefined && !revives) await releaseKey(tx, goneId);
    await writeAdoption(tx, claim, adopted, { revives, remoteAddress });
    return { ...claim, adopted };
  }

  /** A new key is a new claim to an old identity, which the token's maker did not have in mind. */
  async #claim(fresh: Enrolment, { agent }: MatchingHost): Promise<Enrolment> {
    const identity = { ...fresh.identity, agentId: agent?.id ?? fresh.identity.agentId };
    const approves = fresh.token.autoApprove && this.options.adoptAutoApprove;
    return { ...fresh, identity, certificate: approves ? await this.#sign(identity, fresh) : undefined };
  }

  #sign(identity: SpiffeIdentity, { registration }: NewKey): Promise<IssuedCertificate> {
    return this.options.clientCertificates.issue(identity, registration.publicKey);
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

/** Who asks for an enrolment. */
interface Claim {
  /** The agent that had the key and was deleted. */
  goneId: string | undefined;
  remoteAddress: string;
}

interface WrittenEnrolment extends Enrolment {
  /** The host that went over to the key. */
  adopted?: MatchingHost | undefined;
}

/** @throws KeyTaken when the key became known after it was looked up, whichever machine the other request described */
async function requireKeyStillFree(tx: Transaction, publicKey: string, goneId: string | undefined): Promise<void> {
  const current = await findKnownAgent(tx, publicKey);
  if (current?.id !== goneId || (current && !isGone(current))) throw new KeyTaken();
}

/**
 * What becomes of a new key. A host that is to be adopted is locked, and was looked at again since: its agent may have
 * come back in the meantime.
 */
async function decide(tx: Transaction, machine: MachineDescription): Promise<DuplicateDecision> {
  let lockedId: string | undefined;
  for (;;) {
    const [matching = []] = await findMatchingHosts(tx, [machine]);
    const decision = decideDuplicate(matching);
    if (decision.kind !== "adopt" || decision.host.hostId === lockedId) return decision;
    await lockHostNow(tx, decision.host.hostId, decision.host.agent?.id);
    lockedId = decision.host.hostId;
  }
}
