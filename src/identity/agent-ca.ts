import { createHash, generateKeyPairSync, type KeyObject, webcrypto, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { IngestError } from "../errors.js";
import {
  findActiveAgentCa,
  insertAgentCa,
  listTrustedAgentCaPems,
  type NewCertificateAuthority,
} from "../store/certificate-authorities.js";
import { type Database, lockInTransaction, type Queryable } from "../store/database.js";
import { type CertificateSigner, readCertificateSigner } from "./certificate-signer.js";
import { sealKey, unsealKey } from "./sealed-key.js";
import {
  BasicConstraintsExtension,
  X509Certificate as CertificateAsn1,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "./x509.js";

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
}

/** The agent CAs. Both change while the service runs: read them for each call, and each only once. */
export interface AgentCa {
  /** The one that signs. */
  readonly current: SigningCa;
  /** Those whose certificates are good: the one that signs, and every earlier one that is still in date. */
  readonly trusted: readonly X509Certificate[];
}

/** Where the agent CA comes from. */
export interface AgentCaOptions {
  /** The operator's own CA; without it the newest one in the database is used, and one is made if there is none. */
  files?: { certFile: string; keyFile: string };
  /** Encrypts the key at rest; required without own files. */
  encryptionSecret?: string;
}

/**
 * Loads the agent CA, or makes it the first time. Instances that start at the same moment end up with the same one.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function loadAgentCa(database: Database, options: AgentCaOptions): Promise<AgentCa> {
  const { certificatePem, keyPem, source } = options.files
    ? await loadOwnCa(database.db, options.files, options.encryptionSecret)
    : await loadOrCreateStoredCa(database, requireSecret(options.encryptionSecret));

  const certificate = readCaCertificate(certificatePem, source);
  const { key, ...signer } = await readCertificateSigner(keyPem, `the key of ${source}`);
  if (!certificate.checkPrivateKey(key)) {
    throw new IngestError("unusable_configuration", `the key of ${source} does not belong to its certificate`);
  }
  if (Date.parse(certificate.validTo) < Date.now()) {
    throw new IngestError("unusable_configuration", `${source} expired on ${certificate.validTo}`);
  }
  const asn1 = new CertificateAsn1(certificatePem);
  const stored = await listTrustedAgentCaPems(database.db, new Date());
  return {
    current: {
      certificatePem: certificate.toString(),
      fingerprintSha256: fingerprintOf(certificate),
      subject: asn1.subject,
      publicKey: await asn1.publicKey.export(),
      signer,
    },
    trusted: [certificate, ...stored.map((pem) => new X509Certificate(pem))],
  };
}

interface CaMaterial {
  certificatePem: string;
  keyPem: string;
  /** What it is, for errors. */
  source: string;
}

async function loadOwnCa(
  db: Queryable,
  { certFile, keyFile }: { certFile: string; keyFile: string },
  secret: string | undefined,
): Promise<CaMaterial> {
  const [certificatePem, keyPem] = await Promise.all([readPem(certFile), readPem(keyFile)]);
  const source = `the agent CA in ${certFile}`;
  const certificate = readCaCertificate(certificatePem, source);
  // Mirrored so that the web app can show it; without a secret the key stays in its file alone.
  const keyPemEncrypted = secret === undefined ? "" : await sealKey(keyPem, secret);
  await insertAgentCa(db, toRow(certificate, keyPemEncrypted, "byo"));
  return { certificatePem, keyPem, source };
}

async function loadOrCreateStoredCa(database: Database, secret: string): Promise<CaMaterial> {
  const row = (await findActiveAgentCa(database.db)) ?? (await createStoredCa(database, secret));
  return {
    certificatePem: row.certPem,
    keyPem: await unsealKey(row.keyPemEncrypted, secret),
    source: "the agent CA in the database",
  };
}

async function createStoredCa(database: Database, secret: string): Promise<NewCertificateAuthority> {
  const { certificate, key } = await makeCa();
  const made = toRow(certificate, await sealKey(exportSec1(key), secret), "auto");
  return database.transaction(async (tx) => {
    await lockInTransaction(tx, "agent-ca");
    const existing = await findActiveAgentCa(tx);
    if (existing !== undefined) return existing;
    await insertAgentCa(tx, made);
    return made;
  });
}

async function makeCa(): Promise<{ certificate: X509Certificate; key: KeyObject }> {
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
  return { certificate: new X509Certificate(certificate.toString("pem")), key: privateKey };
}

/** The form the earlier service writes, and reads. */
function exportSec1(key: KeyObject): string {
  return key.export({ format: "pem", type: "sec1" }).toString();
}

function toRow(certificate: X509Certificate, keyPemEncrypted: string, source: string): NewCertificateAuthority {
  return {
    certPem: certificate.toString(),
    keyPemEncrypted,
    source,
    fingerprintSha256: fingerprintOf(certificate),
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
  };
}

function fingerprintOf(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

function readCaCertificate(pem: string, source: string): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new IngestError("unusable_configuration", `${source} is not a certificate in PEM`, { cause });
  }
  if (!certificate.ca) throw new IngestError("unusable_configuration", `${source} is not a CA certificate`);
  return certificate;
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new IngestError("unusable_configuration", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

function requireSecret(secret: string | undefined): string {
  if (secret !== undefined) return secret;
  throw new IngestError(
    "unusable_configuration",
    "the agent CA's key needs LDAP_ENCRYPTION_KEY or BETTER_AUTH_SECRET to be stored",
  );
}
