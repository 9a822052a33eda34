import { IngestError, type IngestErrorCode } from "../errors.js";
import { groupLookups } from "../lib/async/group-lookups.js";
import type { Pace } from "../lib/bounds/pace.js";
import { addressSource } from "../lib/formats/address-source.js";
import type { Database } from "../store/database.js";
import { type FoundKey, findKeys, isGone } from "../store/enrolment/known-agents.js";
import type { Decision } from "./decision.js";
import type { IdentifyingAddresses } from "./duplicates/identifying-addresses.js";
import type { KnownKeys } from "./known-keys/known-keys.js";
import { LookAgain } from "./look-again.js";
import type { Enroller } from "./new-keys/enroller.js";
import { type RegistrationConnection, showsOwnCertificate } from "./registration-connection.js";
import { proveRegistration, type RawRegistration, type Registration } from "./registration-request.js";
import type { RegistrationResult } from "./registration-result.js";
import type { RefusalLimiter } from "./tokens/refusal-limiter.js";

/** Looking again settles what others changed meanwhile; only a bug would go on for longer. */
const MAX_LOOKS = 5;

/** Least time between two lookups of keys, in milliseconds; a single one still goes at once. */
const PACE_MS = 20;

/** What counts as a refused attempt of an address; a failure of ours does not, nor a request that is malformed. */
const COUNTED: ReadonlySet<IngestErrorCode> = new Set(["enrolment_token_unusable", "host_exists"]);

/** What a {@link Registrar} needs. */
export interface RegistrarOptions {
  database: Database;
  knownKeys: KnownKeys;
  newKeys: Enroller;
  identifyingAddresses: IdentifyingAddresses;
  refusalLimiter: RefusalLimiter;
  /** Of registrations with a key that is known. */
  knownKeyPace: Pace;
}

/** Gives machines an identity: a key that is known gets its own back, a new one needs an enrolment token. */
export class Registrar {
  readonly #findKey: (publicKey: string) => Promise<FoundKey>;

  constructor(private readonly options: RegistrarOptions) {
    this.#findKey = groupLookups(
      (publicKeys) => options.database.transaction((tx) => findKeys(tx, publicKeys), { keepsStatements: true }),
      PACE_MS,
    );
  }

  /**
   * Reads a registration and demands the proof of possession. Before that nothing is looked up: without it an existing
   * identity is neither answered nor touched.
   *
   * @throws IngestError `invalid_field`
   */
  prove(raw: RawRegistration): Promise<Registration> {
    return proveRegistration(raw, this.options.identifyingAddresses);
  }

  /**
   * Registers an agent. The same request again has the same effect as once.
   *
   * @throws IngestError `invalid_field`, `enrolment_token_unusable`, `key_of_other_organisation`, `host_exists`,
   * `too_many_refusals`, `too_many_calls`
   */
  async register(registration: Registration, connection: RegistrationConnection): Promise<RegistrationResult> {
    for (let look = 1; look <= MAX_LOOKS; look++) {
      try {
        return await this.#registerOnce(registration, connection);
      } catch (error) {
        if (!(error instanceof LookAgain)) throw error;
      }
    }
    throw new Error(`what is known of this key changed ${MAX_LOOKS} times while it registered`);
  }

  /** @throws LookAgain */
  async #registerOnce(registration: Registration, connection: RegistrationConnection): Promise<RegistrationResult> {
    const found = await this.#findKey(registration.publicKey.pem);
    const decideAndAct = async () =>
      this.#act(await this.#decide(found, registration, connection), registration, connection);
    // Only of a new key refusals are counted; one that is known and proven is kept to a pace of its own.
    if (!isNew(found)) {
      this.#requireTurn(registration, connection);
      return decideAndAct();
    }
    return this.options.refusalLimiter.attempt({
      address: connection.remoteAddress,
      signal: connection.signal,
      work: decideAndAct,
      isRefusal: (error) => error instanceof IngestError && COUNTED.has(error.code),
    });
  }

  /** An old request is easily kept: who shows no certificate of the key takes no turn from who does. */
  #requireTurn(registration: Registration, connection: RegistrationConnection): void {
    const { pem } = registration.publicKey;
    const isShown = showsOwnCertificate(connection, registration);
    const key = isShown ? pem : `${pem} ${addressSource(connection.remoteAddress).source}`;
    const waitMs = this.options.knownKeyPace.tryTake(key);
    if (waitMs === 0) return;
    throw new IngestError(
      "too_many_calls",
      `this machine registers too often; try again in ${Math.ceil(waitMs / 1000)} s`,
      { retryAfterMs: waitMs },
    );
  }

  async #decide(
    { agent, former }: FoundKey,
    registration: Registration,
    connection: RegistrationConnection,
  ): Promise<Decision> {
    const { knownKeys, newKeys } = this.options;
    if (agent !== undefined && !isGone(agent)) return knownKeys.decide(agent, registration, connection);
    if (former?.fate === "rejected") return { kind: "revoked", agentId: former.agentId };
    return newKeys.decide(registration, connection, { goneId: agent?.id, wasDeleted: former?.fate === "deleted" });
  }

  async #act(
    decision: Decision,
    registration: Registration,
    connection: RegistrationConnection,
  ): Promise<RegistrationResult> {
    const { knownKeys, newKeys } = this.options;
    switch (decision.kind) {
      case "answer":
        return knownKeys.answer(decision.agent, registration, connection);
      case "take back":
        await knownKeys.takeBack(decision.agent, registration, connection);
        throw new LookAgain();
      case "revoked":
        return knownKeys.turnAway(decision.agentId);
      case "enrol":
      case "adopt":
        return newKeys.enrol(decision);
      case "refuse":
        throw decision.error;
    }
  }
}

/** Whether the key is to be enrolled. */
function isNew({ agent, former }: FoundKey): boolean {
  return (agent === undefined || isGone(agent)) && former?.fate !== "rejected";
}
