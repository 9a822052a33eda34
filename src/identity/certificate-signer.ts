import { createPrivateKey, type KeyObject, webcrypto } from "node:crypto";
import { IngestError } from "../errors.js";

/** A CA's private key, ready to sign certificates. */
export interface CertificateSigner {
  signingKey: webcrypto.CryptoKey;
  signingAlgorithm: { name: string; hash: string };
}

/**
 * Reads a CA's private key from PEM: SEC 1 (also after an `EC PARAMETERS` block), PKCS#8 or PKCS#1.
 *
 * @param source what the key is, for the error: a path, or where it is stored
 * @throws IngestError `unusable_configuration`
 */
export async function readCertificateSigner(
  pem: string,
  source: string,
): Promise<CertificateSigner & { key: KeyObject }> {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new IngestError("unusable_configuration", `${source} is not a private key in PEM`, { cause });
  }
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) {
    throw new IngestError("unusable_configuration", `${source} is neither an RSA nor a P-256, P-384 or P-521 EC key`);
  }
  const pkcs8 = key.export({ format: "der", type: "pkcs8" });
  const signingKey = await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]);
  return { key, signingKey, signingAlgorithm: { name: algorithm.name, hash: algorithm.hash } };
}

function algorithmOf(key: KeyObject): { name: string; hash: string; namedCurve: string } | undefined {
  if (key.asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", namedCurve: "" };
  switch (key.asymmetricKeyDetails?.namedCurve) {
    case "prime256v1":
      return { name: "ECDSA", hash: "SHA-256", namedCurve: "P-256" };
    case "secp384r1":
      return { name: "ECDSA", hash: "SHA-384", namedCurve: "P-384" };
    case "secp521r1":
      return { name: "ECDSA", hash: "SHA-512", namedCurve: "P-521" };
    default:
      return undefined;
  }
}
