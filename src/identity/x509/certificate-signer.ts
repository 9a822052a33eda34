import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import { IngestError } from "../../errors.js";
import { describeUnreadableKey } from "./encrypted-key.js";

/** A CA's private key, ready to sign certificates. */
export interface CertificateSigner {
  key: KeyObject;
  /** Null where the algorithm has its own. */
  hash: string | null;
  /** DER of the AlgorithmIdentifier of what it signs. */
  algorithm: Buffer;
}

const signInBackground = promisify(sign);

/**
 * Reads a CA's private key from PEM: SEC 1 (also after an `EC PARAMETERS` block), PKCS#8 or PKCS#1.
 *
 * @param source what the key is, for the error: a path, or where it is stored
 * @throws IngestError `unusable_configuration`
 */
export function readCertificateSigner(pem: string, source: string): CertificateSigner {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new IngestError("unusable_configuration", `${source} ${describeUnreadableKey(pem)}`, { cause });
  }
  const signature = signatureOf(key);
  if (signature === undefined) {
    throw new IngestError(
      "unusable_configuration",
      `${source} is neither an RSA, nor a P-256, P-384 or P-521 EC, nor an Ed25519 key`,
    );
  }
  return { key, hash: signature.hash, algorithm: Buffer.from(signature.algorithm, "hex") };
}

/** Signs in the background, on a thread of its own. */
export function signWith({ key, hash }: CertificateSigner, data: Buffer): Promise<Buffer> {
  return signInBackground(hash ?? undefined, data, key);
}

/** The hash that suits a key, and the AlgorithmIdentifier of both (RFC 4055, RFC 5758, RFC 8410). */
function signatureOf(key: KeyObject): { hash: string | null; algorithm: string } | undefined {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return { hash: "sha256", algorithm: "300d06092a864886f70d01010b0500" };
    case "ed25519":
      return { hash: null, algorithm: "300506032b6570" };
    case "ec":
      return EC_SIGNATURES.get(key.asymmetricKeyDetails?.namedCurve ?? "");
    default:
      return undefined;
  }
}

const EC_SIGNATURES: ReadonlyMap<string, { hash: string; algorithm: string }> = new Map([
  ["prime256v1", { hash: "sha256", algorithm: "300a06082a8648ce3d040302" }],
  ["secp384r1", { hash: "sha384", algorithm: "300a06082a8648ce3d040303" }],
  ["secp521r1", { hash: "sha512", algorithm: "300a06082a8648ce3d040304" }],
]);
