import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { calculateJwkThumbprint, exportJWK, type JWK } from "jose";
import { IngestError } from "../errors.js";

const MODULUS_BITS = 2048;

/** A public key as `/.well-known/jwks.json` shows it. */
export type PublishedKey = JWK & { kid: string };

/** The RSA key that signs access tokens, and the public keys that verify them. */
export interface SigningKeys {
  current: { kid: string; privateKey: KeyObject };
  published: readonly { kid: string; publicKey: KeyObject }[];
  /** JSON Web Key Set (RFC 7517) of the published keys. */
  jwks: { keys: readonly PublishedKey[] };
}

/**
 * Reads the signing key (PKCS#1 or PKCS#8); makes a 2048-bit one (PKCS#1, mode 0600) when the file is missing. Of
 * processes that find it missing at the same moment one writes it, and all use that one.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function loadSigningKeys(path: string): Promise<SigningKeys> {
  const privateKey = parse((await readIfPresent(path)) ?? (await createKeyFile(path)), path);
  const publicKey = createPublicKey(privateKey);
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return {
    current: { kid, privateKey },
    published: [{ kid, publicKey }],
    jwks: { keys: [{ ...jwk, kid, use: "sig", alg: "RS256" }] },
  };
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unusable(path, `cannot be read: ${(cause as Error).message}`, cause);
  }
}

async function createKeyFile(path: string): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: MODULUS_BITS,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(privateKey);
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      // Unlike rename, link never replaces a file that another process has put there meanwhile.
      await link(temporary, path);
    } finally {
      await unlink(temporary);
    }
    return privateKey;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return readFile(path, "utf8");
    throw unusable(path, `is missing and cannot be written: ${(cause as Error).message}`, cause);
  }
}

function parse(pem: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw unusable(path, "is not a private key in PEM", cause);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== "rsa" || bits < MODULUS_BITS) {
    throw unusable(path, `is not an RSA key of at least ${MODULUS_BITS} bits`);
  }
  return key;
}

function unusable(path: string, why: string, cause?: unknown): IngestError {
  return new IngestError("unusable_configuration", `INGEST_JWT_KEY_FILE: ${path} ${why}`, { cause });
}
