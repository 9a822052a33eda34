import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  encodeBasicConstraints,
  encodeExtension,
  encodeKeyUsage,
  encodeSubjectKeyIdentifier,
  KEY_USAGE,
} from "../../../dist/identity/x509/certificate-extensions.js";
import { readCertificateSigner } from "../../../dist/identity/x509/certificate-signer.js";
import { toPem } from "../../../dist/identity/x509/read-certificate.js";
import { encodeName, randomSerial, writeCertificate } from "../../../dist/identity/x509/write-certificate.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const NAME = encodeName({ commonName: "an operator's CA" });

/** An agent CA and its key, both in PEM. */
export interface TestCa {
  certificatePem: string;
  keyPem: string;
}

/** What a CA of {@link createCa} has that the others have not. */
export interface CaVariant {
  key?: KeyObject;
  /** DER. */
  name?: Buffer;
  /** No extension when left out. */
  keyIdentifier?: Buffer | undefined;
  /** Instead of those of a CA. */
  extensions?: readonly Buffer[];
  notBefore?: Date;
  notAfter?: Date;
  /** Of the CA above it; without one it is signed by itself. */
  issuer?: { name: Buffer; keyPem: string };
}

/** The extensions of a CA, but for its key identifier. */
export const CA_EXTENSIONS = [encodeBasicConstraints({ isCa: true }), encodeKeyUsage(KEY_USAGE.keyCertSign)];

/** Those of a CA that looks well; but OpenSSL, which cannot read one of them, takes nothing that it signs. */
export const UNFIT_CA_EXTENSIONS = [...CA_EXTENSIONS, encodeExtension("551d1e", Buffer.from("3003020100", "hex"))];

/** A CA as an operator might make it, or might better not. */
export async function createCa(variant: CaVariant = {}): Promise<TestCa & { name: Buffer }> {
  const { name = NAME, extensions = CA_EXTENSIONS, keyIdentifier, issuer } = variant;
  const key = variant.key ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const keyPem = key.export({ format: "pem", type: key.asymmetricKeyType === "ec" ? "sec1" : "pkcs8" }).toString();
  const der = await writeCertificate(
    {
      serial: randomSerial(),
      issuer: issuer?.name ?? name,
      subject: name,
      notBefore: variant.notBefore ?? new Date(Date.now() - DAY_MS),
      notAfter: variant.notAfter ?? new Date(Date.now() + 1000 * DAY_MS),
      publicKey: createPublicKey(key).export({ format: "der", type: "spki" }),
      extensions: [...extensions, ...(keyIdentifier === undefined ? [] : [encodeSubjectKeyIdentifier(keyIdentifier)])],
    },
    readCertificateSigner(issuer?.keyPem ?? keyPem, "the key of a test"),
  );
  return { certificatePem: toPem(der), keyPem, name };
}
