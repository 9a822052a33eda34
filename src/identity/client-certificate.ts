import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { IngestError } from "../errors.js";
import type { SigningCa } from "./agent-ca.js";
import { type AgentPublicKey, agentPublicKeyFromSpki, agentPublicKeyToSpki } from "./agent-key.js";
import { formatSpiffeId, parseSpiffeId, type SpiffeIdentity } from "./spiffe-id.js";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "./x509.js";

const LIFETIME_MS = 90 * 24 * 60 * 60 * 1000;
const BACKDATE_MS = 60 * 1000;
const CLOCK_TOLERANCE_MS = 60 * 1000;
const SERIAL_BYTES = 16;

/** A client certificate as it was issued. */
export interface IssuedCertificate {
  pem: string;
  /** Lower-case hex without leading zeros: the form of every serial in the database. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** Which client certificate it is, and for how long it is good. */
export interface CertificateReference {
  /** Lower-case hex without leading zeros. */
  serial: string;
  /** Of the agent CA that issued it: lower-case hex of the SHA-256 of its DER, as in `certificate_authorities`. */
  issuerFingerprintSha256: string;
  notAfter: Date;
}

/** What a verified client certificate says about the caller. */
export interface CertificateIdentity extends SpiffeIdentity {
  publicKey: AgentPublicKey;
  certificate: CertificateReference;
}

/** Issues the client certificate of an agent: 90 days, its Ed25519 key, its SPIFFE id (wire contract). */
export async function issueClientCertificate(
  ca: SigningCa,
  identity: SpiffeIdentity,
  publicKey: AgentPublicKey,
): Promise<IssuedCertificate> {
  const serialBytes = randomSerial();
  // X.509 counts in seconds.
  const issuedAtMs = Math.floor(Date.now() / 1000) * 1000;
  const notBefore = new Date(issuedAtMs - BACKDATE_MS);
  const notAfter = new Date(issuedAtMs + LIFETIME_MS);
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
  };
}

/**
 * Verifies a client certificate by itself: issuer, dates, usage, SPIFFE id. Whether it was revoked, and whether its
 * key is the one on record, only the database knows.
 *
 * @throws IngestError `client_certificate_invalid`, with what is wrong
 */
export function verifyClientCertificate(
  der: Uint8Array,
  trusted: readonly X509Certificate[],
  now = Date.now(),
): CertificateIdentity {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch (cause) {
    throw new IngestError("client_certificate_invalid", "the client certificate cannot be read", { cause });
  }
  const refuse = (why: string, agentId?: string) =>
    new IngestError("client_certificate_invalid", `the client certificate ${why}`, agentId ? { agentId } : {});

  const issuer = trusted.find((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  if (issuer === undefined) throw refuse("was not issued by a trusted agent CA; register again to obtain a new one");
  const [, uri] = /^URI:(\S+)$/.exec(certificate.subjectAltName ?? "") ?? [];
  const identity = uri === undefined ? undefined : parseSpiffeId(uri);
  if (identity === undefined) throw refuse("does not carry exactly one SPIFFE id of an agent");
  const { agentId } = identity;
  if (now > Date.parse(certificate.validTo) + CLOCK_TOLERANCE_MS) {
    throw refuse(`expired on ${rfc3339(certificate.validTo)}; register again to obtain a new one`, agentId);
  }
  if (now < Date.parse(certificate.validFrom) - CLOCK_TOLERANCE_MS) {
    throw refuse(`is not valid before ${rfc3339(certificate.validFrom)}; check the clocks`, agentId);
  }
  const isClientLeaf = !certificate.ca && certificate.keyUsage?.includes(ExtendedKeyUsage.clientAuth);
  if (!isClientLeaf) throw refuse("is not a leaf for client authentication", agentId);

  const publicKey = agentPublicKeyFromSpki(certificate.publicKey.export({ format: "der", type: "spki" }));
  if (publicKey === undefined) throw refuse("does not carry an Ed25519 key", agentId);
  return {
    ...identity,
    publicKey,
    certificate: {
      serial: toSerial(certificate.serialNumber),
      issuerFingerprintSha256: createHash("sha256").update(issuer.raw).digest("hex"),
      notAfter: new Date(certificate.validTo),
    },
  };
}

function randomSerial(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  // A DER integer is signed, and its first byte is never zero: 127 bits, positive, in sixteen bytes.
  bytes[0] = ((bytes[0] ?? 0) % 127) + 1;
  return bytes;
}

function toSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+/, "");
}

function rfc3339(date: string): string {
  return new Date(date).toISOString();
}
