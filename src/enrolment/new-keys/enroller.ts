import { IngestError } from "../../errors.js";
import type { ClientCertificates } from "../../identity/client-certificates/client-certificates.js";
import type { SigningKeyRing } from "../../identity/signing-keys/signing-key-ring.js";
import { groupLookups } from "../../lib/async/group-lookups.js";
import { createId } from "../../lib/ids.js";
import type { Outgoing, PublishingDatabase } from "../../outbox/outbox.js";
import { releaseKey } from "../../store/agents/agents.js";
import type { Queryable } from "../../store/database.js";
import { findKey, isGone } from "../../store/enrolment/known-agents.js";
import { findMatchingHosts, type MachineDescription, type MatchingHost } from "../../store/enrolment/matching-hosts.js";
import { registrationLocks, takeRegistrationLocks } from "../../store/enrolment/registration-locks.js";
import { lockHostNow } from "../../store/hosts/hosts.js";
import { isSerialRevoked } from "../../store/identity/client-certificates.js";
import type { Transaction } from "../../store/transaction.js";
import {
  decideNewKey,
  type EnrolDecision,
  isSameDecision,
  type NewKeyPolicy,
  type Refusal,
  remarksOf,
} from "../decision.js";
import type { DuplicateNotices } from "../duplicates/duplicate-notices.js";
import { describeMatch } from "../duplicates/duplicate-refusal.js";
import type { IdentifyingAddresses } from "../duplicates/identifying-addresses.js";
import type { EnrolmentEvents } from "../events.js";
import { LookAgain } from "../look-again.js";
import { type RegistrationConnection, showsOwnCertificate } from "../registration-connection.js";
import type { Registration } from "../registration-request.js";
import { answerActive, type RegistrationResult } from "../registration-result.js";
import { hashEnrolmentToken } from "../tokens/enrolment-token.js";
import type { TokenCheck, TokenProblem } from "../tokens/token-check.js";
import { describeWaiting, type Enrolment, machineOf } from "./enrolment.js";
import { GroupEnrolment } from "./group-enrolment.js";
import { writeAdoption } from "./write-adoption.js";
import { writeEnrolments, writeRevival } from "./write-enrolment.js";

/** What {@link Enroller} needs. */
export interface EnrollerOptions extends PublishingDatabase {
  tokenCheck: TokenCheck;
  clientCertificates: ClientCertificates;
  signingKeys: SigningKeyRing;
  events: EnrolmentEvents;
  policy: NewKeyPolicy;
  duplicateNotices: DuplicateNotices;
  identifyingAddresses: IdentifyingAddresses;
}

/** Enrols keys that no agent has: each takes one use of an enrolment token. */
export class Enroller {
  readonly #group: GroupEnrolment;
  readonly #pick = (addresses: readonly string[]) => this.options.identifyingAddresses.pick(addresses);
  readonly #findMatchingHosts: (machine: MachineDescription) => Promise<MatchingHost[]>;

  constructor(private readonly options: EnrollerOptions) {
    const { database } = options;
    this.#group = new GroupEnrolment(options);
    this.#findMatchingHosts = groupLookups((machines) =>
      database.transaction((tx) => findMatchingHosts(tx, machines, this.#pick), { keepsStatements: true }),
    );
  }

  /**
   * @param goneId the agent that had the key and was deleted
   * @param wasDeleted an agent that had the key is remembered as deleted
   */
  async decide(
    registration: Registration,
    connection: RegistrationConnection,
    { goneId, wasDeleted }: { goneId: string | undefined; wasDeleted: boolean },
  ): Promise<EnrolDecision | Refusal> {
    const { database, tokenCheck, policy, duplicateNotices } = this.options;
    if (registration.problem !== undefined) return { kind: "refuse", error: registration.problem };
    const found = await tokenCheck.find(registration.orgToken);
    if ("problem" in found) {
      // Another request with the same key may have been faster, and have taken the token's last use.
      if (found.problem !== "unknown") await this.#requireUnchanged(database.db, registration, goneId);
      return tokenRefusal(found.problem, registration);
    }
    const isReturning = wasDeleted || (await this.#showsRevokedCertificate(registration, connection));
    const key = { registration, token: found.token, connection, goneId, isReturning };
    const decision = decideNewKey(key, await this.#findMatchingHosts(machineOf(key)), policy);
    // What matches may be what another request with the same key has just made.
    if (decision.kind === "refuse") {
      await this.#requireUnchanged(database.db, registration, goneId);
      await duplicateNotices.tell({
        organisationId: found.token.organisationId,
        publicKey: registration.publicKey.pem,
        hostname: registration.hostname,
        reason: decision.error.message,
      });
    }
    return decision;
  }

  /**
   * Enrols a key. It is signed for before the transaction: one that signed fifty would hold its locks for as long.
   *
   * @throws LookAgain
   */
  async enrol(decision: EnrolDecision): Promise<RegistrationResult> {
    const { database, outbox, clientCertificates, signingKeys, events } = this.options;
    const { key, isApproved } = decision;
    const { registration, token, connection } = key;
    const adopted = decision.kind === "adopt" ? decision.host : undefined;
    const agentId = adopted?.agent?.id ?? key.goneId ?? createId();
    const identity = { agentId, organisationId: token.organisationId };
    const certificate = isApproved ? await clientCertificates.issue(identity, registration.publicKey) : undefined;
    const enrolment: Enrolment = { key, identity, certificate, remarks: remarksOf(decision) };

    const isPlainlyNew = decision.kind === "enrol" && decision.sameAddress.length === 0 && key.goneId === undefined;
    const isWritten = isPlainlyNew && (await this.#group.enrol(enrolment));
    const { remarks } = isWritten
      ? enrolment
      : await outbox.transaction(database, (tx, outgoing) => this.#write(tx, outgoing, decision, enrolment));

    const status = certificate === undefined ? "pending" : "active";
    const { hostname, publicKey } = registration;
    const { remoteAddress, call } = connection;
    const remark = describeWaiting(key, remarks);
    const event = { ...identity, status, hostname, tokenId: token.id, remoteAddress, ...call } as const;
    if (adopted === undefined) events.enrolled({ ...event, ...(remark !== "" && { remark }) });
    else events.adopted({ ...event, hostId: adopted.hostId, matched: describeMatch(adopted) });
    return certificate === undefined
      ? { status: "pending", agentId }
      : answerActive(signingKeys, { ...identity, publicKey }, certificate);
  }

  /** @returns what was written */
  async #write(tx: Transaction, outgoing: Outgoing, decision: EnrolDecision, prepared: Enrolment): Promise<Enrolment> {
    const { key } = prepared;
    const publicKey = key.registration.publicKey.pem;
    const machine = machineOf(key);
    await takeRegistrationLocks(tx, registrationLocks(publicKey, machine));
    if (decision.kind === "adopt") await lockHostNow(tx, decision.host.hostId, decision.host.agent?.id);
    // Under the locks nobody else changes what is decided about.
    await this.#requireUnchanged(tx, key.registration, key.goneId);
    const [matching = []] = await findMatchingHosts(tx, [machine], this.#pick);
    const decidedAgain = decideNewKey(key, matching, this.options.policy);
    if (!isSameDecision(decision, decidedAgain)) throw new LookAgain();
    const enrolment = { ...prepared, remarks: remarksOf(decidedAgain) };

    if (decision.kind === "adopt") {
      if (key.goneId !== undefined && key.goneId !== enrolment.identity.agentId) await releaseKey(tx, key.goneId);
      await writeAdoption(tx, outgoing, enrolment, decision.host);
    } else if (key.goneId !== undefined) await writeRevival(tx, outgoing, enrolment);
    // Somebody who takes no such locks was faster.
    else if ((await writeEnrolments(tx, outgoing, [enrolment])).length === 0) throw new LookAgain();
    return enrolment;
  }

  /** Also of an agent that was deleted before there was anything here that could remember it. */
  async #showsRevokedCertificate(registration: Registration, connection: RegistrationConnection): Promise<boolean> {
    const { certificate } = connection;
    if (certificate === undefined || !showsOwnCertificate(connection, registration)) return false;
    return isSerialRevoked(this.options.database.db, certificate.serial);
  }

  /** @throws LookAgain when the key became known after it was looked up, whichever machine the other request described */
  async #requireUnchanged(db: Queryable, { publicKey }: Registration, goneId: string | undefined): Promise<void> {
    const { agent } = await findKey(db, publicKey.pem);
    if (agent?.id !== goneId || (agent !== undefined && !isGone(agent))) throw new LookAgain();
  }
}

/** One text for all reasons: which one it was helps only somebody who guesses tokens, and the operator. */
function tokenRefusal(problem: TokenProblem, { orgToken, hostname }: Registration): Refusal {
  const tokenHashPrefix = hashEnrolmentToken(orgToken).slice(0, 8);
  const error = new IngestError(
    "enrolment_token_unusable",
    "the enrolment token cannot be used; ask the operator of CT-Ops for a new one",
    { reason: `token_${problem}`, logged: { tokenHashPrefix, hostname } },
  );
  return { kind: "refuse", error };
}
