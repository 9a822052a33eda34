import { createPublicKey, type KeyObject } from "node:crypto";
import { Refresher } from "../../lib/async/refresher.js";
import { WatchedFiles } from "../../lib/watched-files.js";
import type { Queryable } from "../../store/database.js";
import {
  deleteExpiredSigningKeys,
  listPublishedSigningKeys,
  type PublishedSigningKey,
  publishSigningKeys,
} from "../../store/identity/signing-keys.js";
import { findSystemConfigValue } from "../../store/identity/system-config.js";
import type { KeyEvents } from "../key-events.js";
import { generateSigningKeyPem, readSigningKey, type SigningKey } from "./signing-key.js";
import { createSigningKeyFile, readSigningKeyFile } from "./signing-key-file.js";

const MINUTE_MS = 60 * 1000;
/** Where the earlier service keeps its key. It is only read, so that going back to that service works. */
export const EARLIER_KEY = "jwt_private_key";
const EARLIER_KEY_SOURCE = `system_config.${EARLIER_KEY}`;
/** How often a key's end is put off by whoever signs with it. */
export const PUT_OFF_INTERVAL_MS = 10 * MINUTE_MS;
/** A token's 24 hours, and more than the tolerance for clocks and what passes until the end is put off again. */
export const PUBLISH_FOR_MS = (24 + 1) * 60 * MINUTE_MS;

/**
 * How long a new key is published before it signs: the reading interval of the other instances, and the five minutes for
 * which whoever verifies tokens keeps the key set.
 */
export const ANNOUNCE_MS = 6 * MINUTE_MS;

/** A key that verifies access tokens. */
export interface VerificationKey {
  kid: string;
  publicKey: KeyObject;
}

/** A public key as `/.well-known/jwks.json` shows it. */
export interface JwksKey {
  kid: string;
  kty: string;
  n: string;
  e: string;
  use: "sig";
  alg: "RS256";
}

/** How often {@link SigningKeyRing} looks at what. */
export interface SigningKeyRingTiming {
  /** Between two looks at the key file. */
  fileWatchMs: number;
  /** Between two readings of the published keys. */
  readMs: number;
  /** Shortest time between two readings that tokens with an unknown `kid` ask for. */
  readPaceMs: number;
  /** How long a new key is published before it signs. */
  announceMs: number;
}

const TIMING: SigningKeyRingTiming = { fileWatchMs: 2_000, readMs: 20_000, readPaceMs: 1_000, announceMs: ANNOUNCE_MS };

/** What {@link openSigningKeyRing} needs. */
export interface SigningKeyRingOptions {
  db: Queryable;
  /** The key file. */
  path: string;
  events: KeyEvents;
  timing?: Partial<SigningKeyRingTiming> | undefined;
}

/**
 * Opens the signing keys: the one in the file signs; where there is no file it is made, of the earlier service's key if
 * the database has that. Whatever signs is published before it does.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function openSigningKeyRing(options: SigningKeyRingOptions): Promise<SigningKeyRing> {
  const { db, path } = options;
  const pem = (await readSigningKeyFile(path)) ?? (await createSigningKeyFile(path, await choosePem(options)));
  const current = await readSigningKey(pem, sourceOf(path));
  await publishSigningKeys(db, [current], PUBLISH_FOR_MS);
  const keys = new SigningKeyRing(options, current, pem);
  try {
    await keys.refresh();
  } catch (error) {
    await keys.close();
    throw error;
  }
  return keys;
}

/** The key that signs access tokens, and the public keys that verify them. Both change while the service runs. */
export class SigningKeyRing {
  readonly #refresher: Refresher;
  readonly #file: WatchedFiles;
  readonly #timing: SigningKeyRingTiming;
  #current: SigningKey;
  /** From the file, and not yet published for long enough to sign. */
  #next: SigningKey | undefined;
  #published: ReadonlyMap<string, VerificationKey & { jwk: JwksKey }> = new Map();
  #isEarlierKeyReported = false;
  #putOffAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly options: SigningKeyRingOptions,
    current: SigningKey,
    pem: string,
  ) {
    const { path, events } = options;
    this.#current = current;
    this.#timing = { ...TIMING, ...options.timing };
    const { fileWatchMs, readMs, readPaceMs } = this.#timing;
    this.#refresher = new Refresher({
      work: () => this.refresh(),
      intervalMs: readMs,
      paceMs: readPaceMs,
      onError: (error) => events.signingKeysNotRefreshed(error),
    });
    this.#file = new WatchedFiles({
      paths: [path],
      inUse: [pem],
      apply: ([changed = ""]) => this.#announce(changed),
      onProblem: (error) => events.signingKeyRefused(error),
      intervalMs: fileWatchMs,
    });
  }

  /** The key that signs. */
  get current(): SigningKey {
    return this.#current;
  }

  /** JSON Web Key Set (RFC 7517) of the published keys. */
  get jwks(): { keys: readonly JwksKey[] } {
    return { keys: [...this.#published.values()].map(({ jwk }) => jwk) };
  }

  /**
   * The keys that may have signed a token with this `kid`; every published one for a token without. For a `kid` that is
   * not known the published keys are read again, since another instance may have begun to sign with it.
   *
   * @returns none when nobody published that `kid`
   */
  async verificationKeys(kid: string | undefined): Promise<readonly VerificationKey[]> {
    if (kid === undefined) return [...this.#published.values()];
    // At most one reading a second, however many unknown ones are asked for.
    if (!this.#published.has(kid)) await this.#refresher.now();
    const key = this.#published.get(kid);
    return key === undefined ? [] : [key];
  }

  /** Reads the published keys; puts off the end of ours when that is due, and takes the next key when its time came. */
  async refresh(): Promise<void> {
    const { db } = this.options;
    const isDue = performance.now() - this.#putOffAt >= PUT_OFF_INTERVAL_MS;
    let rows = isDue ? [] : await listPublishedSigningKeys(db);
    // Also gone when the database is restored from a backup: agents would be refused with every token they were given.
    if (!rows.some(({ kid }) => kid === this.#current.kid)) {
      await this.#putOff();
      rows = await listPublishedSigningKeys(db);
    }
    this.#published = new Map(rows.map((row) => [row.kid, this.#published.get(row.kid) ?? toPublished(row)]));
    const next = this.#next;
    const age = rows.find(({ kid }) => kid === next?.kid)?.ageMs ?? 0;
    if (next !== undefined && age >= this.#timing.announceMs) {
      this.#current = next;
      this.#next = undefined;
      this.options.events.signingKeyChanged({ kid: next.kid });
    }
  }

  async close(): Promise<void> {
    await this.#file.stop();
    await this.#refresher.stop();
  }

  async #announce(pem: string): Promise<void> {
    const key = await readSigningKey(pem, sourceOf(this.options.path));
    if (key.kid === this.#current.kid) {
      this.#next = undefined;
      return;
    }
    await publishSigningKeys(this.options.db, [key], PUBLISH_FOR_MS);
    this.#next = key;
    this.options.events.signingKeyAnnounced({ kid: key.kid, signsInMs: this.#timing.announceMs });
    void this.#refresher.now();
  }

  async #putOff(): Promise<void> {
    const keys = [this.#current, this.#next, await this.#findEarlierKey()].filter((key) => key !== undefined);
    const byKid = new Map(keys.map((key) => [key.kid, key]));
    await publishSigningKeys(this.options.db, [...byKid.values()], PUBLISH_FOR_MS);
    await deleteExpiredSigningKeys(this.options.db);
    this.#putOffAt = performance.now();
  }

  /** That service may be running beside this one, so its key is published for as long as the database has it. */
  async #findEarlierKey(): Promise<SigningKey | undefined> {
    const pem = await findSystemConfigValue(this.options.db, EARLIER_KEY);
    if (pem === undefined) return undefined;
    try {
      return await readSigningKey(pem, EARLIER_KEY_SOURCE);
    } catch (error) {
      if (!this.#isEarlierKeyReported) this.options.events.earlierSigningKeyUnusable(error);
      this.#isEarlierKeyReported = true;
      return undefined;
    }
  }
}

/** What a missing key file is made of. */
async function choosePem({ db, events }: SigningKeyRingOptions): Promise<string> {
  const pem = await findSystemConfigValue(db, EARLIER_KEY);
  if (pem === undefined) return generateSigningKeyPem();
  try {
    await readSigningKey(pem, EARLIER_KEY_SOURCE);
    return pem;
  } catch (error) {
    events.earlierSigningKeyUnusable(error);
    return generateSigningKeyPem();
  }
}

function toPublished({ kid, publicJwk }: PublishedSigningKey): VerificationKey & { jwk: JwksKey } {
  const { kty, n, e } = publicJwk;
  return {
    kid,
    publicKey: createPublicKey({ key: { kty, n, e }, format: "jwk" }),
    jwk: { kid, kty, n, e, use: "sig", alg: "RS256" },
  };
}

function sourceOf(path: string): string {
  return `INGEST_JWT_KEY_FILE: ${path}`;
}
