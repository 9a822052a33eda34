import { databaseUnavailable, IngestError } from "../../errors.js";
import type { ClientCertificates } from "../../identity/client-certificates/client-certificates.js";
import type { SigningKeyRing } from "../../identity/signing-keys/signing-key-ring.js";
import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { mayCall } from "../../store/agents/calling-statuses.js";
import { LOCK_TIMEOUT_MS } from "../../store/connection/connection-policy.js";
import { type KnownRegistration, recordRegistrations } from "../../store/enrolment/agent-registrations.js";
import type { KnownAgent } from "../../store/enrolment/known-agents.js";
import { deletePendingCertSignings } from "../../store/identity/pending-cert-signings.js";
import type { Decision } from "../decision.js";
import type { EnrolmentEvents } from "../events.js";
import { LookAgain } from "../look-again.js";
import { type RegistrationConnection, showsOwnCertificate } from "../registration-connection.js";
import type { Registration } from "../registration-request.js";
import { answerActive, type RegistrationResult } from "../registration-result.js";
import type { TokenCheck } from "../tokens/token-check.js";
import { restoreMissingHost } from "./missing-host.js";
import { undoAdoption } from "./undo-adoption.js";

const MAX_RECORDED_AT_ONCE = 200;
/** Least time between two statements, in milliseconds; a single registration still goes at once. */
const PACE_MS = 20;

/** What {@link KnownKeys} needs. */
export interface KnownKeysOptions extends PublishingDatabase {
  tokenCheck: TokenCheck;
  clientCertificates: ClientCertificates;
  signingKeys: SigningKeyRing;
  events: EnrolmentEvents;
}

/** Answers registrations of keys that are on record, whatever became of the token. */
export class KnownKeys {
  /** A fleet that comes back registers together. */
  readonly #records: Batcher<Waiting, boolean>;

  constructor(private readonly options: KnownKeysOptions) {
    const { db } = options.database;
    this.#records = new Batcher({
      flush: async (items) =>
        (await recordRegistrations(db, items)).map((recorded, index): BatchOutcome<boolean> => {
          if (recorded !== "busy") return { done: recorded === "recorded" };
          // As long as it would wait for any lock.
          if (performance.now() - (items[index]?.since ?? 0) < LOCK_TIMEOUT_MS) return { busy: true };
          return { failed: databaseUnavailable(new Error("somebody keeps the agent locked")) };
        }),
      maxItems: MAX_RECORDED_AT_ONCE,
      paceMs: PACE_MS,
    });
  }

  /** Decides about the key of an agent that is not deleted. */
  async decide(agent: KnownAgent, registration: Registration, connection: RegistrationConnection): Promise<Decision> {
    const { displacement } = agent;
    if (displacement !== undefined && !displacement.isRejected) {
      const isProven = !displacement.hadCertificate || showsOwnCertificate(connection, registration);
      if (!isProven) return { kind: "refuse", error: notProven(agent) };
    }
    if (await this.#isOfOtherOrganisation(agent, registration.orgToken)) {
      return { kind: "refuse", error: ofOtherOrganisation(agent) };
    }
    if (displacement !== undefined) return { kind: "take back", agent };
    const isServed = agent.status === "pending" || mayCall(agent.status);
    return isServed ? { kind: "answer", agent } : { kind: "revoked", agentId: agent.id };
  }

  /**
   * Answers an agent that is served: with what it is to go on with, unless it waits for approval.
   *
   * @throws LookAgain
   */
  async answer(
    agent: KnownAgent,
    registration: Registration,
    connection: RegistrationConnection,
  ): Promise<RegistrationResult> {
    const { database, clientCertificates, signingKeys, events } = this.options;
    const { publicKey, identifyingAddresses } = registration;
    const { remoteAddress, call } = connection;
    const identity = { agentId: agent.id, organisationId: agent.organisationId };
    const showedCertificate = showsOwnCertificate(connection, registration);
    const record = { identifyingAddresses, remoteAddress, showedCertificate, since: performance.now() };
    if (!(await this.#records.add({ agent, publicKey: publicKey.pem, ...record }))) throw new LookAgain();
    if (agent.hostState === "missing") await restoreMissingHost(database, agent, registration);
    if (agent.status === "pending") return { status: "pending", agentId: agent.id };

    const { hostname } = agent;
    const certificate = await clientCertificates.obtain({ ...identity, hostname }, publicKey, "certificate.issued");
    if (certificate === undefined) throw new LookAgain();
    const { serial, isNew } = certificate;
    const source = { remoteAddress, showedCertificate, ...call };
    events.identityIssued({ ...identity, hostname, serial, newCertificate: isNew, ...source });
    return answerActive(signingKeys, { ...identity, publicKey }, certificate);
  }

  /** Tells an agent that it was revoked. */
  async turnAway(agentId: string): Promise<RegistrationResult> {
    await deletePendingCertSignings(this.options.database.db, agentId);
    return { status: "revoked", agentId };
  }

  /** Gives an agent back to its own key, which another one displaced, if that can still be undone. */
  async takeBack(
    { id: agentId, organisationId }: KnownAgent,
    { publicKey }: Registration,
    { remoteAddress, call }: RegistrationConnection,
  ): Promise<void> {
    const { events } = this.options;
    const identity = { agentId, organisationId };
    if (await undoAdoption(this.options, identity, publicKey.pem, remoteAddress)) {
      events.adoptionUndone({ ...identity, remoteAddress, ...call });
    }
  }

  /** A token that could be used shows where the machine is meant to be; any other one says nothing. */
  async #isOfOtherOrganisation(agent: KnownAgent, orgToken: string): Promise<boolean> {
    const token = await this.options.tokenCheck.findUsable(orgToken);
    return token !== undefined && token.organisationId !== agent.organisationId;
  }
}

type Waiting = KnownRegistration & { since: number };

function ofOtherOrganisation({ id }: KnownAgent): IngestError {
  return new IngestError(
    "key_of_other_organisation",
    `the key of this machine belongs to agent ${id} of another organisation than the enrolment token; delete that agent ` +
      "there, or remove the agent's data directory so that it makes a new key, or use a token of the agent's own " +
      "organisation",
    { agentId: id },
  );
}

/** An old request is easily kept, and could undo an adoption that is right. */
function notProven({ id }: KnownAgent): IngestError {
  return new IngestError(
    "host_exists",
    `another key has taken over agent ${id} and waits for approval; this one was the agent's own, but its connection ` +
      "shows no client certificate of it, so it may be a copy of an old request; an operator can reject the other key, " +
      "and then this one is let in",
    { reason: "adoption_not_disproved", agentId: id },
  );
}
