import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import { agentPublicKeyFromSpki } from "../agent-key.js";
import { findUnfitness } from "./ca-fitness.js";
import { EXTENSION_ID, readSubjectKeyIdentifier } from "./certificate-extensions.js";
import { describeSubject, readCertificate, toPem } from "./read-certificate.js";

/** The certificate of a CA, and what its leaves are verified with. */
export interface CaCertificate {
  /** PEM of this certificate alone. */
  certificatePem: string;
  /** As in `certificate_authorities`: lower-case hex of the certificate's DER. */
  fingerprintSha256: string;
  /** Its name in one line, for people. */
  subject: string;
  /** DER of its name, byte for byte. */
  name: Buffer;
  /** Its subject key identifier, byte for byte; undefined where it has none. */
  keyIdentifier: Buffer | undefined;
  publicKey: KeyObject;
  notBefore: Date;
  notAfter: Date;
  /** Why it cannot sign certificates of agents; undefined when, by its own fields, it can. */
  unfitness: string | undefined;
  /** As node:crypto has it. */
  certificate: X509Certificate;
}

/**
 * Reads the certificate of a CA.
 *
 * @throws Error when it cannot be read, or has a key that cannot be used
 */
export function readCaCertificate(der: Uint8Array): CaCertificate {
  const fields = readCertificate(der);
  const { subject: name, notBefore, notAfter, extensions, publicKey: spki } = fields;
  const keyIdentifier = extensions.get(EXTENSION_ID.subjectKeyIdentifier);
  const certificate = new X509Certificate(der);
  const { publicKey } = certificate;
  if (publicKey.asymmetricKeyType === "ed25519" && agentPublicKeyFromSpki(spki) === undefined) {
    throw new Error("a key for which anybody can sign");
  }
  return {
    certificatePem: toPem(der),
    fingerprintSha256: createHash("sha256").update(der).digest("hex"),
    subject: describeSubject(certificate),
    name,
    keyIdentifier: keyIdentifier && readSubjectKeyIdentifier(keyIdentifier.value),
    publicKey,
    notBefore,
    notAfter,
    unfitness: findUnfitness(fields),
    certificate,
  };
}
