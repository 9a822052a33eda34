import { createHash, generateKeyPairSync } from "node:crypto";
import { IngestError } from "../../errors.js";
import type { WatchedFiles } from "../../lib/watched-files.js";
import type { NewCertificateAuthority, TrustedAgentCa } from "../../store/identity/certificate-authorities.js";
import { agentPublicKeyFromSpki } from "../agent-key.js";
import { verifyClientCertificate } from "../client-certificates/certificate-verification.js";
import { isExpired, issueClientCertificate, type SigningCa } from "../client-certificates/issue-client-certificate.js";
import { type CaCertificate, readCaCertificate } from "../x509/ca-certificate.js";
import {
  encodeBasicConstraints,
  encodeKeyUsage,
  encodeSubjectKeyIdentifier,
  KEY_USAGE,
} from "../x509/certificate-extensions.js";
import { readCertificateSigner } from "../x509/certificate-signer.js";
import { readPemCertificates, toPem } from "../x509/read-certificate.js";
import { encodeName, randomSerial, writeCertificate } from "../x509/write-certificate.js";

const NAME = { organisation: "ct-ops", commonName: "ct-ops Agent CA" };
const LIFETIME_MS = 10 * 365 * 24 * 60 * 60 * 1000;
const BACKDATE_MS = 60 * 1000;
/** Where the key begins in the SubjectPublicKeyInfo of a P-256 key. */
const P256_SPKI_PREFIX_BYTES = 26;
/** Nobody's: what a trial certificate carries never leaves this file. */
const TRIAL_IDENTITY = { organisationId: "trial", agentId: "trial" };

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
 * Makes a CA ready to sign. There is no other way to one, so that no CA signs whose certificates this service would
 * refuse: its agents would register again for ever.
 *
 * @param certificatePem of several certificates, such as a chain, the one is taken that the key belongs to
 * @param source what it is, for errors
 * @throws IngestError `unusable_configuration`: not a CA, expired, the key is not its own, or what it signs would be refused
 */
export async function readSigningCa(certificatePem: string, keyPem: string, source: string): Promise<SigningCa> {
  const refuse = (why: string, cause?: unknown) =>
    new IngestError("unusable_configuration", `${source} ${why}`, { cause });
  const signer = readCertificateSigner(keyPem, `the key of ${source}`);
  let certificates: CaCertificate[];
  try {
    certificates = readPemCertificates(certificatePem).map(readCaCertificate);
  } catch (cause) {
    throw refuse(`cannot be read: ${(cause as Error).message}`, cause);
  }
  if (certificates.length === 0) throw refuse("is not a certificate in PEM");
  const own = certificates.find(({ certificate }) => certificate.checkPrivateKey(signer.key));
  if (own === undefined) throw refuse("has a key that does not belong to its certificate");
  if (own.unfitness !== undefined) throw refuse(own.unfitness);
  if (isExpired(own)) throw refuse(`expired on ${own.notAfter.toISOString()}`);
  const ca = { ...own, signer };
  await requireGoodLeaves(ca).catch((cause: Error) => {
    const isEarly = ca.notBefore.getTime() > Date.now();
    throw isEarly
      ? refuse(`is not valid before ${ca.notBefore.toISOString()}; check the clocks`, cause)
      : refuse(`cannot sign, since what it signs would be refused here: ${cause.message}`, cause);
  });
  return ca;
}

/** Signs a certificate on trial, and verifies it as a caller's. */
async function requireGoodLeaves(ca: SigningCa): Promise<void> {
  const key = agentPublicKeyFromSpki(generateKeyPairSync("ed25519").publicKey.export({ format: "der", type: "spki" }));
  if (key === undefined) throw new Error("no key could be made");
  const { der } = await issueClientCertificate(ca, TRIAL_IDENTITY, key);
  verifyClientCertificate(der, [ca]);
}

/** Makes a new agent CA (wire contract): ECDSA P-256, self-signed, 10 years; the key in SEC 1, as the platform reads it. */
export async function createAgentCa(): Promise<{ certificatePem: string; keyPem: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ format: "pem", type: "sec1" }).toString();
  const spki = publicKey.export({ format: "der", type: "spki" });
  const name = encodeName(NAME);
  const now = Date.now();
  const der = await writeCertificate(
    {
      serial: randomSerial(),
      issuer: name,
      subject: name,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(now + LIFETIME_MS),
      publicKey: spki,
      extensions: [
        encodeBasicConstraints({ isCa: true }),
        encodeKeyUsage(KEY_USAGE.keyCertSign, KEY_USAGE.crlSign),
        // SHA-1, because instances of an earlier version that run beside this one take it for that.
        encodeSubjectKeyIdentifier(createHash("sha1").update(spki.subarray(P256_SPKI_PREFIX_BYTES)).digest()),
      ],
    },
    readCertificateSigner(keyPem, "the new key"),
  );
  return { certificatePem: toPem(der), keyPem };
}

/** A CA as a row; `keyPemEncrypted` is empty where the key is kept elsewhere. */
export function toCertificateAuthority(
  ca: Pick<CaCertificate, "certificatePem" | "fingerprintSha256" | "notBefore" | "notAfter">,
  keyPemEncrypted: string,
  source: "auto" | "byo",
): NewCertificateAuthority {
  const { certificatePem: certPem, fingerprintSha256, notBefore, notAfter } = ca;
  return { certPem, keyPemEncrypted, source, fingerprintSha256, notBefore, notAfter };
}
