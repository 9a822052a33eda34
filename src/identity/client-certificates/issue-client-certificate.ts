import { randomBytes } from "node:crypto";
import { IngestError } from "../../errors.js";
import { isExpired, type SigningCa } from "../agent-ca/signing-ca.js";
import { type AgentPublicKey, agentPublicKeyToSpki } from "../agent-key.js";
import { formatSpiffeId, type SpiffeIdentity } from "../spiffe-id.js";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "../x509.js";

const LIFETIME_MS = 90 * 24 * 60 * 60 * 1000;
const BACKDATE_MS = 60 * 1000;
const SERIAL_BYTES = 16;

/** A client certificate as it was issued. */
export interface IssuedCertificate {
  pem: string;
  /** Lower-case hex without leading zeros: the form of every serial in the database. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
  /** Of the agent CA that signed it, as in `certificate_authorities`. */
  issuerFingerprintSha256: string;
  /** PEM of that CA. */
  agentCaCertificatePem: string;
}

/**
 * Issues the client certificate of an agent: 90 days, but no longer than its CA, its Ed25519 key, its SPIFFE id (wire
 * contract).
 *
 * @throws IngestError `unusable_configuration` when the CA has expired: its agent would be refused with what it was given,
 * and would ask again at once, for ever
 */
export async function issueClientCertificate(
  ca: SigningCa,
  identity: SpiffeIdentity,
  publicKey: AgentPublicKey,
): Promise<IssuedCertificate> {
  if (isExpired(ca)) {
    throw new IngestError("unusable_configuration", `the agent CA expired on ${ca.notAfter.toISOString()}`);
  }
  const serialBytes = randomSerial();
  // X.509 counts in seconds.
  const issuedAtMs = Math.floor(Date.now() / 1000) * 1000;
  const notBefore = new Date(issuedAtMs - BACKDATE_MS);
  // Agents renew by what is left of their own certificate: one that outlived its CA would be renewed too late.
  const notAfter = new Date(Math.min(issuedAtMs + LIFETIME_MS, ca.notAfter.getTime()));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialBytes.toString("hex"),
    subject: [{ O: [identity.organisationId] }, { CN: [identity.agentId] }],
    issuer: ca.subject,
    notBefore,
    notAfter,
    publicKey: agentPublicKeyToSpki(publicKey),
    signingKey: ca.signer.signingKey,
    signingAlgorithm: ca.signer.signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([{ type: "url", value: formatSpiffeId(identity) }]),
      await AuthorityKeyIdentifierExtension.create(ca.publicKey),
    ],
  });
  return {
    pem: `${certificate.toString("pem")}\n`,
    serial: toSerial(serialBytes.toString("hex")),
    notBefore,
    notAfter,
    issuerFingerprintSha256: ca.fingerprintSha256,
    agentCaCertificatePem: ca.certificatePem,
  };
}

function randomSerial(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  // A DER integer is signed, and its first byte is never zero: 127 bits, positive, in sixteen bytes.
  bytes[0] = ((bytes[0] ?? 0) % 127) + 1;
  return bytes;
}

/** A serial as every one in the database is written: lower-case hex without leading zeros. */
export function toSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+/, "");
}
