import { createHash, X509Certificate } from "node:crypto";
import { IngestError } from "../../errors.js";
import { type AgentPublicKey, agentPublicKeyFromSpki } from "../agent-key.js";
import { parseSpiffeId, type SpiffeIdentity } from "../spiffe-id.js";
import { EXTENSION_ID, type KeyUsage, readExtensions, readKeyUsage, readOnlyUri } from "./certificate-extensions.js";
import { toSerial } from "./issue-client-certificate.js";

const CLOCK_TOLERANCE_MS = 60 * 1000;
const CLIENT_AUTHENTICATION = "1.3.6.1.5.5.7.3.2";
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
 * @param certificate DER, or PEM
 * @param trusted the agent CAs; none is an intermediate one, so a leaf is signed by one of them or by nobody
 * @throws IngestError `client_certificate_invalid`, with what is wrong
 */
export function verifyClientCertificate(
  certificate: Uint8Array | string,
  trusted: readonly X509Certificate[],
  now = Date.now(),
): CertificateIdentity {
  const parsed = readable(() => new X509Certificate(certificate));
  const issuer = trusted.find((ca) => isInDate(ca, now) && parsed.checkIssued(ca) && parsed.verify(ca.publicKey));
  if (issuer === undefined) {
    throw new IngestError(
      "client_certificate_invalid",
      "the client certificate was not issued by a trusted agent CA; register again to obtain a new one",
      { reason: ISSUER_UNKNOWN },
    );
  }

  const { uri, keyUsage, hasUnknownCritical } = readable(() => readFacts(parsed.raw));
  const identity = uri === undefined ? undefined : parseSpiffeId(uri);
  if (identity === undefined) throw refusal("does not carry exactly one SPIFFE id of an agent");

  const { agentId } = identity;
  const { validFrom, validTo } = parsed;
  if (!isInDate(parsed, now)) {
    const isOver = now > Date.parse(validTo);
    throw isOver
      ? refusal(`expired on ${rfc3339(validTo)}; register again to obtain a new one`, agentId)
      : refusal(`is not valid before ${rfc3339(validFrom)}; check the clocks`, agentId);
  }
  const maySign = keyUsage === undefined || (keyUsage.digitalSignature && !keyUsage.keyCertSign);
  const isClientLeaf = !parsed.ca && maySign && parsed.keyUsage?.includes(CLIENT_AUTHENTICATION);
  if (!isClientLeaf) throw refusal("is not a leaf for client authentication", agentId);
  if (hasUnknownCritical) throw refusal("carries a critical extension that is not understood", agentId);

  const publicKey = agentPublicKeyFromSpki(parsed.publicKey.export({ format: "der", type: "spki" }));
  if (publicKey === undefined) throw refusal("does not carry an Ed25519 key", agentId);
  return {
    ...identity,
    publicKey,
    certificate: {
      serial: toSerial(parsed.serialNumber),
      issuerFingerprintSha256: createHash("sha256").update(issuer.raw).digest("hex"),
      notBefore: new Date(validFrom),
      notAfter: new Date(validTo),
    },
  };
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new IngestError("client_certificate_invalid", "the client certificate cannot be read", { cause });
  }
}

/** What node:crypto does not show. */
function readFacts(der: Uint8Array): { uri?: string; keyUsage?: KeyUsage; hasUnknownCritical: boolean } {
  const extensions = readExtensions(der);
  const names = extensions.get(EXTENSION_ID.subjectAltName);
  const usage = extensions.get(EXTENSION_ID.keyUsage);
  const uri = names && readOnlyUri(names.value);
  return {
    ...(uri !== undefined && { uri }),
    ...(usage && { keyUsage: readKeyUsage(usage.value) }),
    hasUnknownCritical: [...extensions].some(([id, { critical }]) => critical && !UNDERSTOOD.includes(id)),
  };
}

function isInDate({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) - CLOCK_TOLERANCE_MS <= now && now <= Date.parse(validTo) + CLOCK_TOLERANCE_MS;
}

function refusal(why: string, agentId?: string): IngestError {
  const details = agentId === undefined ? {} : { agentId };
  return new IngestError("client_certificate_invalid", `the client certificate ${why}`, details);
}

function rfc3339(date: string): string {
  return new Date(date).toISOString();
}
