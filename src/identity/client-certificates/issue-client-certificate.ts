import { IngestError } from "../../errors.js";
import { type AgentPublicKey, agentPublicKeyToSpki } from "../agent-key.js";
import { formatSpiffeId, type SpiffeIdentity } from "../spiffe-id.js";
import type { CaCertificate } from "../x509/ca-certificate.js";
import {
  EXTENDED_KEY_USAGE,
  encodeAuthorityKeyIdentifier,
  encodeBasicConstraints,
  encodeExtendedKeyUsage,
  encodeKeyUsage,
  encodeSubjectAltName,
  KEY_USAGE,
  NAME_TAG,
} from "../x509/certificate-extensions.js";
import type { CertificateSigner } from "../x509/certificate-signer.js";
import { toPem, toSerial } from "../x509/read-certificate.js";
import { encodeName, randomSerial, writeCertificate } from "../x509/write-certificate.js";

const LIFETIME_MS = 90 * 24 * 60 * 60 * 1000;
const BACKDATE_MS = 60 * 1000;

/** A CA that signs client certificates. */
export interface SigningCa extends CaCertificate {
  signer: CertificateSigner;
}

/** A client certificate as it was issued. */
export interface IssuedCertificate {
  der: Buffer;
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
  const serial = randomSerial();
  // X.509 counts in seconds.
  const issuedAtMs = Math.floor(Date.now() / 1000) * 1000;
  const notBefore = new Date(issuedAtMs - BACKDATE_MS);
  // Agents renew by what is left of their own certificate: one that outlived its CA would be renewed too late.
  const notAfter = new Date(Math.min(issuedAtMs + LIFETIME_MS, ca.notAfter.getTime()));
  const der = await writeCertificate(
    {
      serial,
      issuer: ca.name,
      subject: encodeName({ organisation: identity.organisationId, commonName: identity.agentId }),
      notBefore,
      notAfter,
      publicKey: agentPublicKeyToSpki(publicKey),
      extensions: [
        encodeBasicConstraints({ isCa: false }),
        encodeKeyUsage(KEY_USAGE.digitalSignature),
        encodeExtendedKeyUsage(EXTENDED_KEY_USAGE.clientAuthentication),
        encodeSubjectAltName([{ tag: NAME_TAG.uri, value: Buffer.from(formatSpiffeId(identity), "latin1") }]),
        // Without one there is nothing to copy, and one that we computed would belong to nobody.
        ...(ca.keyIdentifier === undefined ? [] : [encodeAuthorityKeyIdentifier(ca.keyIdentifier)]),
      ],
    },
    ca.signer,
  );
  return {
    der,
    pem: toPem(der),
    serial: toSerial(serial),
    notBefore,
    notAfter,
    issuerFingerprintSha256: ca.fingerprintSha256,
    agentCaCertificatePem: ca.certificatePem,
  };
}

/** Whether a CA is past its end: what it signs is good for nothing. */
export function isExpired({ notAfter }: Pick<CaCertificate, "notAfter">): boolean {
  return notAfter.getTime() <= Date.now();
}
