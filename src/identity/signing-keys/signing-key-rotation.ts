import { IngestError } from "../../errors.js";
import type { Queryable } from "../../store/database.js";
import {
  deleteSigningKey,
  listPublishedSigningKeys,
  type PublishedSigningKey,
  publishSigningKeys,
} from "../../store/identity/signing-keys.js";
import { findSystemConfigValue } from "../../store/identity/system-config.js";
import { generateSigningKeyPem, readSigningKey } from "./signing-key.js";
import { createSigningKeyFile, readSigningKeyFile, replaceSigningKeyFile } from "./signing-key-file.js";
import { ANNOUNCE_MS, EARLIER_KEY, PUBLISH_FOR_MS, PUT_OFF_INTERVAL_MS } from "./signing-key-ring.js";

/**
 * What a published key is doing: it is in this key file and waits to sign, or signs; somebody else signs with it; or it
 * only verifies tokens that are still around. The earlier service's may be signing, for all that is known here.
 */
export type SigningKeyState = "announced" | "signs" | "signs elsewhere" | "earlier service" | "verifies";

/** A published signing key. */
export interface SigningKeyOverview extends PublishedSigningKey {
  state: SigningKeyState;
}

/**
 * The published keys, oldest first.
 *
 * @param path the key file of this host
 */
export async function describeSigningKeys(db: Queryable, path: string): Promise<SigningKeyOverview[]> {
  const ownKid = await kidOf(await readSigningKeyFile(path).catch(() => undefined));
  const earlierKid = await kidOf(await findSystemConfigValue(db, EARLIER_KEY));
  const keys = await listPublishedSigningKeys(db);
  const wasPutOffLately = ({ remainingMs }: PublishedSigningKey) =>
    remainingMs > PUBLISH_FOR_MS - 2 * PUT_OFF_INTERVAL_MS;
  // Without another key that signed lately no service changes over to it: the one that made it signs with it at once.
  const isRotation = keys.some((key) => key.kid !== ownKid && wasPutOffLately(key));
  return keys.map((key) => {
    if (key.kid === ownKid) return { ...key, state: isRotation && key.ageMs < ANNOUNCE_MS ? "announced" : "signs" };
    if (key.kid === earlierKid) return { ...key, state: "earlier service" };
    return { ...key, state: wasPutOffLately(key) ? "signs elsewhere" : "verifies" };
  });
}

/**
 * Puts a new key into the key file. Its public half is published before, and the old one's stays: services that share
 * the file notice, and change over when every verifier has the new key.
 *
 * @returns the new key's `kid`
 * @throws IngestError `unusable_configuration`
 */
export async function rotateSigningKey(db: Queryable, path: string): Promise<string> {
  const previous = await readSigningKeyFile(path);
  const pem = await generateSigningKeyPem();
  const keys = [await readSigningKey(pem, "the new signing key")];
  // What cannot be read never signed anything.
  const old = previous && (await readSigningKey(previous, path).catch(() => undefined));
  if (old) keys.push(old);
  await publishSigningKeys(db, keys, PUBLISH_FOR_MS);
  await (previous === undefined ? createSigningKeyFile(path, pem) : replaceSigningKeyFile(path, pem));
  return readSigningKey(pem, path).then(({ kid }) => kid);
}

/**
 * Stops accepting the tokens that a key signed.
 *
 * @param force also when somebody signed with it lately; whoever still does publishes it again
 * @throws IngestError `operation_refused`
 */
export async function retireSigningKey(
  db: Queryable,
  kid: string,
  options: { path: string; force: boolean },
): Promise<void> {
  await requireRetirable(db, kid, options);
  await deleteSigningKey(db, kid);
}

/**
 * The key, if it may be retired so.
 *
 * @throws IngestError `operation_refused`
 */
export async function requireRetirable(
  db: Queryable,
  kid: string,
  { path, force }: { path: string; force: boolean },
): Promise<SigningKeyOverview> {
  const key = (await describeSigningKeys(db, path)).find((candidate) => candidate.kid === kid);
  if (key === undefined) throw refused(`no key ${kid} is published`);
  if (key.state === "signs" || key.state === "announced") {
    throw refused(`${path} holds key ${kid}; put another one there first (keys rotate)`);
  }
  if (key.state === "earlier service") {
    throw refused(`key ${kid} is published because system_config has it, under ${EARLIER_KEY}; delete that row first`);
  }
  if (key.state === "signs elsewhere" && !force) {
    throw refused(
      `key ${kid} signed tokens within the last ${(2 * PUT_OFF_INTERVAL_MS) / 60_000} minutes; when you know that no ` +
        "instance has it any more, use --force",
    );
  }
  return key;
}

async function kidOf(pem: string | undefined): Promise<string | undefined> {
  if (pem === undefined) return undefined;
  return readSigningKey(pem, "").then(
    ({ kid }) => kid,
    () => undefined,
  );
}

function refused(why: string): IngestError {
  return new IngestError("operation_refused", why);
}
