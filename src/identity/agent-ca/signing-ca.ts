import { createHash, generateKeyPairSync, webcrypto, X509Certificate } from "node:crypto";
import { IngestError } from "../../errors.js";
import type { WatchedFiles } from "../../lib/watched-files.js";
import type { NewCertificateAuthority, TrustedAgentCa } from "../../store/identity/certificate-authorities.js";
import { type CertificateSigner, readCertificateSigner } from "../certificate-signer.js";
import {
  BasicConstraintsExtension,
  X509Certificate as CertificateAsn1,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "../x509.js";

const SUBJECT = "O=ct-ops, CN=ct-ops Agent CA";
const LIFETIME_MS = 10 * 365 * 24 * 60 * 60 * 1000;
const BACKDATE_MS = 60 * 1000;

/** A CA that signs client certificates. */
export interface SigningCa {
  certificatePem: string;
  /** As in `certificate_authorities`: lower-case hex of the certificate's DER. */
  fingerprintSha256: string;
  subject: string;
  publicKey: webcrypto.CryptoKey;
  signer: CertificateSigner;
  notBefore: Date;
  notAfter: Date;
}

/** Where the CA that signs comes from. */
export interface SigningCaSource {
  /**
   * The CA that is to sign, given those that are trusted and the one that signs now. What is not fit to sign is
   * reported, once, and the one that signs now goes on.
   *
   * @throws IngestError `unusable_configuration` when there is none
   */
  choose(trusted: readonly TrustedAgentCa[], current: SigningCa | undefined): Promise<SigningCa>;
  /** Watches what the database does not tell. */
  watch?(onChange: () => void, intervalMs: number): WatchedFiles;
}

/**
 * Makes a CA ready to sign.
 *
 * @param source what it is, for errors
 * @throws IngestError `unusable_configuration`: not a CA, expired, or the key is not its own
 */
export async function readSigningCa(certificatePem: string, keyPem: string, source: string): Promise<SigningCa> {
  const refuse = (why: string, cause?: unknown) =>
    new IngestError("unusable_configuration", `${source} ${why}`, { cause });
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certificatePem);
  } catch (cause) {
    throw refuse("is not a certificate in PEM", cause);
  }
  if (!certificate.ca) throw refuse("is not a CA certificate");
  const { key, ...signer } = await readCertificateSigner(keyPem, `the key of ${source}`);
  if (!certificate.checkPrivateKey(key)) throw refuse("has a key that does not belong to its certificate");
  if (Date.parse(certificate.validTo) < Date.now()) throw refuse(`expired on ${certificate.validTo}`);
  const asn1 = new CertificateAsn1(certificate.toString());
  return {
    certificatePem: certificate.toString(),
    fingerprintSha256: fingerprintOf(certificate),
    subject: asn1.subject,
    publicKey: await asn1.publicKey.export(),
    signer,
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
  };
}

/** Makes a new agent CA (wire contract): ECDSA P-256, self-signed, 10 years; the key in SEC 1, as the platform reads it. */
export async function createAgentCa(): Promise<{ certificatePem: string; keyPem: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const { subtle } = webcrypto;
  const keys = {
    privateKey: await subtle.importKey("pkcs8", privateKey.export({ format: "der", type: "pkcs8" }), algorithm, true, [
      "sign",
    ]),
    publicKey: await subtle.importKey("spki", publicKey.export({ format: "der", type: "spki" }), algorithm, true, [
      "verify",
    ]),
  };
  const now = Math.floor(Date.now() / 1000) * 1000;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: SUBJECT,
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + LIFETIME_MS),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificatePem: new X509Certificate(certificate.toString("pem")).toString(),
    keyPem: privateKey.export({ format: "pem", type: "sec1" }).toString(),
  };
}

/** A CA as a row; `keyPemEncrypted` is empty where the key is kept elsewhere. */
export function toCertificateAuthority(
  ca: Pick<SigningCa, "certificatePem" | "fingerprintSha256" | "notBefore" | "notAfter">,
  keyPemEncrypted: string,
  source: "auto" | "byo",
): NewCertificateAuthority {
  const { certificatePem: certPem, fingerprintSha256, notBefore, notAfter } = ca;
  return { certPem, keyPemEncrypted, source, fingerprintSha256, notBefore, notAfter };
}

/** Whether a CA is past its end: what it signs is good for nothing. */
export function isExpired({ notAfter }: Pick<SigningCa, "notAfter">): boolean {
  return notAfter.getTime() <= Date.now();
}

/** The fingerprint of a certificate as in `certificate_authorities`. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}
