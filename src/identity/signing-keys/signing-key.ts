import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { calculateJwkThumbprint } from "jose";
import { IngestError } from "../../errors.js";
import type { PublicSigningKey } from "../../store/identity/signing-keys.js";
import { describeUnreadableKey } from "../x509/encrypted-key.js";

const MODULUS_BITS = 2048;

/** An RSA key that signs access tokens. */
export interface SigningKey extends PublicSigningKey {
  privateKey: KeyObject;
}

/** Makes a key, PEM (PKCS#1, as the earlier service wrote it). */
export async function generateSigningKeyPem(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: MODULUS_BITS,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  return privateKey;
}

/**
 * Reads a key from PEM, PKCS#1 or PKCS#8.
 *
 * @param source what it is, for the error
 * @throws IngestError `unusable_configuration`
 */
export async function readSigningKey(pem: string, source: string): Promise<SigningKey> {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (cause) {
    throw new IngestError("unusable_configuration", `${source} ${describeUnreadableKey(pem)}`, { cause });
  }
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (privateKey.asymmetricKeyType !== "rsa" || bits < MODULUS_BITS) {
    throw new IngestError("unusable_configuration", `${source} is not an RSA key of at least ${MODULUS_BITS} bits`);
  }
  const { kty = "", n = "", e = "" } = createPublicKey(privateKey).export({ format: "jwk" });
  const publicJwk = { kty, n, e };
  return { kid: await calculateJwkThumbprint(publicJwk), publicJwk, privateKey };
}
