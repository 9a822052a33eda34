import { IngestError, type IngestErrorCode } from "../errors.js";
import type { ClientCertificates } from "../identity/client-certificates/client-certificates.js";
import { requirePossession } from "../identity/csr.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import { groupLookups } from "../lib/group-lookups.js";
import type { AgentStatus } from "../store/agents/agents.js";
import { CALLING_STATUSES } from "../store/agents/calling-statuses.js";
import type { Database } from "../store/database.js";
import { recordRegistration } from "../store/enrolment/agent-registrations.js";
import { findKnownAgents, isGone, type KnownAgent } from "../store/enrolment/known-agents.js";
import { deletePendingCertSignings } from "../store/identity/pending-cert-signings.js";
import { undoAdoption } from "./duplicates/adoption.js";
import type { IdentifyingAddresses } from "./duplicates/identifying-addresses.js";
import type { Enroller } from "./enroller.js";
import type { EnrolmentEvents } from "./events.js";
import { restoreMissingHost } from "./missing-host.js";
import { parseRegistration, type RawRegistration, type Registration } from "./registration-request.js";
import { answerActive, type RegistrationResult } from "./registration-result.js";
import type { RefusalLimiter } from "./tokens/refusal-limiter.js";
import type { TokenCheck } from "./tokens/token-check.js";

/** Looking again settles what others changed meanwhile; only a bug would go on for longer. */
const MAX_LOOKS = 5;

const SERVED: ReadonlySet<string> = new Set<AgentStatus>(["pending", ...CALLING_STATUSES]);

/** What counts as a refused attempt of an address; a failure of ours does not, nor a request that is malformed. */
const COUNTED: ReadonlySet<IngestErrorCode> = new Set(["enrolment_token_unusable", "host_exists"]);

/** What a {@link Registrar} needs. */
export interface RegistrarOptions {
  database: Database;
  enroller: Enroller;
  tokenCheck: TokenCheck;
  clientCertificates: ClientCertificates;
  signingKeys: SigningKeyRing;
  events: EnrolmentEvents;
  identifyingAddresses: IdentifyingAddresses;
  refusalLimiter: RefusalLimiter;
}

/** Gives machines an identity: a key that is known gets its own back, a new one needs an enrolment token. */
export class Registrar {
  readonly #findKnownAgent: (publicKey: string) => Promise<KnownAgent | undefined>;

  constructor(private readonly options: RegistrarOptions) {
    this.#findKnownAgent = groupLookups((publicKeys) => findKnownAgents(options.database.db, publicKeys));
  }

  /**
   * Registers an agent. The same request again has the same effect as once.
   *
   * @param remoteAddress of the connection the request came over
   * @param signal aborted when nobody waits for the answer any more
   * @throws IngestError `invalid_field`, `enrolment_token_unusable`, `key_of_other_organisation`, `host_exists`,
   * `too_many_refusals`
   */
  async register(raw: RawRegistration, remoteAddress: string, signal: AbortSignal): Promise<RegistrationResult> {
    const registration = parseRegistration(raw, this.options.identifyingAddresses);
    // Before anything is looked up: without it an existing identity is neither answered nor touched.
    await requirePossession(registration.csrDer, registration.publicKey);
    for (let look = 1; look <= MAX_LOOKS; look++) {
      const known = await this.#findKnownAgent(registration.publicKey.pem);
      const result =
        known === undefined || isGone(known)
          ? await this.#enrolNew(registration, remoteAddress, signal, known)
          : await this.#answerKnown(known, registration, remoteAddress);
      if (result !== undefined) return result;
    }
    throw new Error(`the agent of this key changed ${MAX_LOOKS} times while it registered`);
  }

  /** Only here are refusals counted: a key that is known and proven is never limited. */
  #enrolNew(
    registration: Registration,
    remoteAddress: string,
    signal: AbortSignal,
    gone: KnownAgent | undefined,
  ): Promise<RegistrationResult | undefined> {
    const { enroller, refusalLimiter } = this.options;
    return refusalLimiter.attempt({
      address: remoteAddress,
      signal,
      work: () => enroller.enrol(registration, remoteAddress, gone),
      isRefusal: (error) => error instanceof IngestError && COUNTED.has(error.code),
    });
  }

  /** @returns undefined when the agent changed, or was changed: it is to be looked up again */
  async #answerKnown(
    agent: KnownAgent,
    registration: Registration,
    remoteAddress: string,
  ): Promise<RegistrationResult | undefined> {
    const { database, clientCertificates, signingKeys, events } = this.options;
    const { publicKey } = registration;
    const identity = { agentId: agent.id, organisationId: agent.organisationId };
    await this.#requireSameOrganisation(agent, registration.orgToken);
    if (agent.publicKey !== publicKey.pem) {
      const undone = await undoAdoption(database, identity, publicKey.pem, remoteAddress);
      if (undone) events.adoptionUndone({ ...identity, remoteAddress });
      return undefined;
    }
    await deletePendingCertSignings(database.db, agent.id);
    if (!SERVED.has(agent.status)) return { status: "revoked", agentId: agent.id };
    if (!(await recordRegistration(database.db, agent, registration.identifyingAddresses))) return undefined;
    if (agent.hostState === "missing") await restoreMissingHost(database, agent, registration);
    if (agent.status === "pending") return { status: "pending", agentId: agent.id };

    const certificate = await clientCertificates.obtain(identity, publicKey);
    if (certificate === undefined) return undefined;
    const { serial, isNew } = certificate;
    events.identityIssued({ ...identity, hostname: agent.hostname, serial, newCertificate: isNew });
    return answerActive(signingKeys, { ...identity, publicKey }, certificate);
  }

  /** A token that could be used shows where the machine is meant to be; any other one says nothing. */
  async #requireSameOrganisation(agent: KnownAgent, orgToken: string): Promise<void> {
    const token = await this.options.tokenCheck.findUsable(orgToken);
    if (token === undefined || token.organisationId === agent.organisationId) return;
    throw new IngestError(
      "key_of_other_organisation",
      `the key of this machine belongs to agent ${agent.id} of another organisation than the enrolment token; delete ` +
        "that agent there, or remove the agent's data directory so that it makes a new key, or use a token of the " +
        "agent's own organisation",
      { agentId: agent.id },
    );
  }
}
