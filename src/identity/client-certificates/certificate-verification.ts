import { X509Certificate } from "node:crypto";
import { IngestError } from "../../errors.js";
import { type AgentPublicKey, agentPublicKeyFromSpki } from "../agent-key.js";
import { parseSpiffeId, type SpiffeIdentity } from "../spiffe-id.js";
import type { CaCertificate } from "../x509/ca-certificate.js";
import {
  EXTENDED_KEY_USAGE,
  EXTENSION_ID,
  readExtendedKeyUsage,
  readIsCa,
  readKeyUsage,
  readOnlyUri,
} from "../x509/certificate-extensions.js";
import { type CertificateFields, readCertificate } from "../x509/read-certificate.js";

const CLOCK_TOLERANCE_MS = 60 * 1000;
/** An extension that is critical and not understood makes a certificate unusable (RFC 5280, section 4.2). */
const UNDERSTOOD: readonly string[] = Object.values(EXTENSION_ID);

/** The reason of a refusal that may be over when the agent CAs are read again. */
export const ISSUER_UNKNOWN = "client_certificate_issuer_unknown";

/** Which client certificate it is, and for how long it is good. */
export interface CertificateReference {
  /** Lower-case hex without leading zeros. */
  serial: string;
  /** Of the agent CA that issued it: lower-case hex of the SHA-256 of its DER, as in `certificate_authorities`. */
  issuerFingerprintSha256: string;
  notBefore: Date;
  notAfter: Date;
}

/** What a verified client certificate says about the caller. */
export interface CertificateIdentity extends SpiffeIdentity {
  publicKey: AgentPublicKey;
  certificate: CertificateReference;
}

/**
 * Verifies a client certificate by itself: issuer, dates, usage, SPIFFE id. Whether it was revoked, and whether its
 * key is the one on record, only the database knows.
 *
 * @param der the certificate; only its issuer and its signature are looked at by node:crypto, after our own reader
 * @param trusted the agent CAs; none is an intermediate one, so a leaf is signed by one of them or by nobody
 * @throws IngestError `client_certificate_invalid`, with what is wrong
 */
export function verifyClientCertificate(
  der: Uint8Array,
  trusted: readonly CaCertificate[],
  now = Date.now(),
): CertificateIdentity {
  const { fields, usage, issuer } = readable(() => {
    const fields = readCertificate(der);
    const usage = readUsage(fields);
    const parsed = new X509Certificate(der);
    return { fields, usage, issuer: trusted.find((ca) => isInDate(ca, now) && isIssuedBy(parsed, ca)) };
  });
  if (issuer === undefined) {
    throw new IngestError(
      "client_certificate_invalid",
      "the client certificate was not issued by a trusted agent CA; register again to obtain a new one",
      { reason: ISSUER_UNKNOWN },
    );
  }

  const identity = usage.uri === undefined ? undefined : parseSpiffeId(usage.uri);
  if (identity === undefined) throw refusal("does not carry exactly one SPIFFE id of an agent");

  const { agentId } = identity;
  const { serial, notBefore, notAfter } = fields;
  if (!isInDate(fields, now)) {
    const isOver = now > notAfter.getTime();
    throw isOver
      ? refusal(`expired on ${notAfter.toISOString()}; register again to obtain a new one`, agentId)
      : refusal(`is not valid before ${notBefore.toISOString()}; check the clocks`, agentId);
  }
  if (!usage.isClientLeaf) throw refusal("is not a leaf for client authentication", agentId);
  if (usage.hasUnknownCritical) throw refusal("carries a critical extension that is not understood", agentId);

  const publicKey = agentPublicKeyFromSpki(fields.publicKey);
  if (publicKey === undefined) throw refusal("does not carry an Ed25519 key that proves anything", agentId);
  return {
    ...identity,
    publicKey,
    certificate: { serial, issuerFingerprintSha256: issuer.fingerprintSha256, notBefore, notAfter },
  };
}

/**
 * The CA that issued a certificate, whatever else may be wrong with it.
 *
 * @throws Error when it cannot be read
 */
export function findIssuer(der: Uint8Array, cas: readonly CaCertificate[]): CaCertificate | undefined {
  readCertificate(der);
  const parsed = new X509Certificate(der);
  return cas.find((ca) => isIssuedBy(parsed, ca));
}

function isIssuedBy(parsed: X509Certificate, { certificate, publicKey }: CaCertificate): boolean {
  return parsed.checkIssued(certificate) && parsed.verify(publicKey);
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new IngestError("client_certificate_invalid", "the client certificate cannot be read", { cause });
  }
}

/** What its extensions say a certificate is for, and of whom. */
function readUsage({ extensions }: CertificateFields): {
  uri: string | undefined;
  isClientLeaf: boolean;
  hasUnknownCritical: boolean;
} {
  const find = (id: string) => extensions.get(id)?.value;
  const names = find(EXTENSION_ID.subjectAltName);
  const basicConstraints = find(EXTENSION_ID.basicConstraints);
  const keyUsage = find(EXTENSION_ID.keyUsage);
  const extendedKeyUsage = find(EXTENSION_ID.extendedKeyUsage);
  const usage = keyUsage && readKeyUsage(keyUsage);
  const isCa = basicConstraints !== undefined && readIsCa(basicConstraints);
  const purposes = extendedKeyUsage === undefined ? [] : readExtendedKeyUsage(extendedKeyUsage);
  const maySign = usage === undefined || (usage.digitalSignature && !usage.keyCertSign);
  return {
    uri: names && readOnlyUri(names),
    isClientLeaf: !isCa && maySign && purposes.includes(EXTENDED_KEY_USAGE.clientAuthentication),
    hasUnknownCritical: [...extensions].some(([id, { critical }]) => critical && !UNDERSTOOD.includes(id)),
  };
}

function isInDate({ notBefore, notAfter }: { notBefore: Date; notAfter: Date }, now: number): boolean {
  return notBefore.getTime() - CLOCK_TOLERANCE_MS <= now && now <= notAfter.getTime() + CLOCK_TOLERANCE_MS;
}

function refusal(why: string, agentId?: string): IngestError {
  const details = agentId === undefined ? {} : { agentId };
  return new IngestError("client_certificate_invalid", `the client certificate ${why}`, details);
}
