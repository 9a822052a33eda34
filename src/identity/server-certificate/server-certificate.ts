import { createHash, generateKeyPairSync } from "node:crypto";
import { parseAddress } from "../../lib/formats/cidr.js";
import {
  EXTENDED_KEY_USAGE,
  encodeBasicConstraints,
  encodeExtendedKeyUsage,
  encodeKeyUsage,
  encodeSubjectAltName,
  encodeSubjectKeyIdentifier,
  KEY_USAGE,
  NAME_TAG,
} from "../x509/certificate-extensions.js";
import { readCertificateSigner } from "../x509/certificate-signer.js";
import { toPem } from "../x509/read-certificate.js";
import { encodeName, randomSerial, writeCertificate } from "../x509/write-certificate.js";

const LIFETIME_MS = 825 * 24 * 60 * 60 * 1000;
const BACKDATE_MS = 60 * 60 * 1000;

/**
 * Makes a self-signed server certificate for development; agents can use it as their CA file.
 *
 * @param names DNS names and IP addresses it is good for
 */
export async function createDevServerCertificate(names: readonly string[]): Promise<{ cert: string; key: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const spki = publicKey.export({ format: "der", type: "spki" });
  const name = encodeName({ commonName: "ct-ops-ingest development" });
  const now = Date.now();
  const certificate = await writeCertificate(
    {
      serial: randomSerial(),
      issuer: name,
      subject: name,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(now + LIFETIME_MS),
      publicKey: spki,
      extensions: [
        // CA, so that clients which demand that of a trust anchor take it as one.
        encodeBasicConstraints({ isCa: true }),
        encodeKeyUsage(KEY_USAGE.digitalSignature, KEY_USAGE.keyCertSign),
        encodeExtendedKeyUsage(EXTENDED_KEY_USAGE.serverAuthentication),
        encodeSubjectAltName(names.map(toGeneralName)),
        encodeSubjectKeyIdentifier(createHash("sha256").update(spki).digest().subarray(0, 20)),
      ],
    },
    readCertificateSigner(key, "the new key"),
  );
  return { cert: toPem(certificate), key };
}

function toGeneralName(name: string): { tag: number; value: Buffer } {
  const address = parseAddress(name);
  return address === undefined
    ? { tag: NAME_TAG.dns, value: Buffer.from(name, "latin1") }
    : { tag: NAME_TAG.ip, value: Buffer.from(address.toByteArray()) };
}
