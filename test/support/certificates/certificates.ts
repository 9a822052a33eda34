import { createPrivateKey, generateKeyPairSync, KeyObject, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { unsealKey } from "../../../dist/identity/agent-ca/sealed-key.js";
import { type CaCertificate, readCaCertificate } from "../../../dist/identity/x509/ca-certificate.js";
import {
  EXTENDED_KEY_USAGE,
  encodeBasicConstraints,
  encodeExtendedKeyUsage,
  encodeKeyUsage,
  encodeSubjectAltName,
  KEY_USAGE,
  NAME_TAG,
} from "../../../dist/identity/x509/certificate-extensions.js";
import { readCertificateSigner, signWith } from "../../../dist/identity/x509/certificate-signer.js";
import { encodeName } from "../../../dist/identity/x509/write-certificate.js";
import { DER_TAG, encodeElement, encodeSequence } from "../../../dist/lib/formats/der.js";
import type { TestKey } from "../agents/field-agent.js";
import { ENCRYPTION_SECRET, type TestService } from "../service.js";

/** What forgeries are made of; from here, since the library needs the import above to come first. */
export { Extension, KeyUsageFlags, SubjectAlternativeNameExtension };

const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");
const ISSUER = "O=ct-ops, CN=ct-ops Agent CA";

/** The private key of the service's agent CA. */
export async function agentCaKey(service: TestService): Promise<KeyObject> {
  const [row] = await service.database.query("select key_pem_encrypted from certificate_authorities");
  return createPrivateKey(await unsealKey(row?.key_pem_encrypted, ENCRYPTION_SECRET));
}

/** A CA as callers are verified by it. */
export function readCaPem(pem: string): CaCertificate {
  return readCaCertificate(new X509Certificate(pem).raw);
}

/** The serial of a certificate, as the database has it. */
export function serialOf(certificatePem: string): string {
  return new X509Certificate(certificatePem).serialNumber.toLowerCase().replace(/^0+/, "");
}

/** The SPIFFE id of an agent. */
export async function spiffeIdOf({ database }: TestService, agentId: string): Promise<string> {
  const [row] = await database.query("select organisation_id from agents where id = $1", [agentId]);
  return `spiffe://ct-ops/org/${row?.organisation_id}/agent/${agentId}`;
}

/** Puts a certificate on an agent's record, as the earlier service would have. */
export async function putOnRecord({ database }: TestService, agentId: string, certificatePem: string): Promise<void> {
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  await database.query(
    `update agents set client_cert_pem = $2, client_cert_serial = $3, client_cert_issued_at = $4, client_cert_not_after = $5
     where id = $1`,
    [agentId, certificatePem, serialOf(certificatePem), new Date(validFrom), new Date(validTo)],
  );
}

/** A CA of the same name that nobody trusts. */
export function createForeignCaKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** A CA with the agent CA's name. */
export async function createTestCa(dates: { notBefore: Date; notAfter: Date }): Promise<{
  key: KeyObject;
  certificate: CaCertificate;
}> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const extensions = [new BasicConstraintsExtension(true, 0, true)];
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: ISSUER,
    keys,
    signingAlgorithm: algorithm,
    ...dates,
    extensions,
  });
  return { key: KeyObject.from(keys.privateKey), certificate: readCaCertificate(new Uint8Array(ca.rawData)) };
}

/** What a forged client certificate says. */
export interface Forgery {
  key: TestKey;
  uris: string[];
  serial?: string;
  notBefore?: Date;
  notAfter?: Date;
  extendedKeyUsage?: string[];
  /** No key usage when left out. */
  keyUsage?: KeyUsageFlags;
  isCa?: boolean;
  /** Name of the issuer; the agent CA's when left out. */
  issuer?: string;
  /** Alternative names beside the URIs. */
  otherNames?: JsonGeneralNames;
  otherExtensions?: Extension[];
}

/** Signs a client certificate that the service would never issue. */
export async function forgeCertificate(caKey: KeyObject, forgery: Forgery): Promise<string> {
  const { key, uris, extendedKeyUsage = ["1.3.6.1.5.5.7.3.2"], isCa = false, keyUsage, otherNames = [] } = forgery;
  const signingAlgorithm =
    caKey.asymmetricKeyType === "ed25519"
      ? { name: "Ed25519" }
      : { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const day = 24 * 60 * 60 * 1000;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: forgery.serial ?? randomBytes(8).toString("hex").replace(/^./, "1"),
    subject: "CN=forged",
    issuer: forgery.issuer ?? ISSUER,
    notBefore: forgery.notBefore ?? new Date(Date.now() - day),
    notAfter: forgery.notAfter ?? new Date(Date.now() + day),
    publicKey: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key.raw]),
    signingKey: await webcrypto.subtle.importKey(
      "pkcs8",
      caKey.export({ format: "der", type: "pkcs8" }),
      signingAlgorithm,
      false,
      ["sign"],
    ),
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(isCa, undefined, true),
      new ExtendedKeyUsageExtension(extendedKeyUsage),
      ...(keyUsage === undefined ? [] : [new KeyUsagesExtension(keyUsage, true)]),
      new SubjectAlternativeNameExtension([...uris.map((value) => ({ type: "url" as const, value })), ...otherNames]),
      ...(forgery.otherExtensions ?? []),
    ],
  });
  return certificate.toString("pem");
}

/** The parts of a certificate, each in DER; those that are left out are as the service issues them. */
export interface CertificateParts {
  version?: Buffer;
  serial?: Buffer;
  validity?: Buffer;
  publicKey?: Buffer;
  extensions?: Buffer;
  /** After the extensions. */
  rest?: Buffer;
}

/** A certificate of parts that no library would write. */
export async function assembleCertificate(
  ca: { key: KeyObject; certificate: CaCertificate },
  parts: CertificateParts & { key: TestKey; uri: string },
): Promise<Buffer> {
  const signer = readCertificateSigner(ca.key.export({ format: "pem", type: "pkcs8" }).toString(), "a test's CA");
  const time = (date: Date) =>
    encodeElement(DER_TAG.utcTime, Buffer.from(`${date.toISOString().replace(/\D/g, "").slice(2, 14)}Z`));
  const day = 24 * 60 * 60 * 1000;
  const toBeSigned = encodeSequence(
    parts.version ?? Buffer.from("a003020102", "hex"),
    parts.serial ?? Buffer.from("020101", "hex"),
    signer.algorithm,
    ca.certificate.name,
    parts.validity ?? encodeSequence(time(new Date(Date.now() - day)), time(new Date(Date.now() + day))),
    encodeName({ commonName: "forged" }),
    parts.publicKey ?? Buffer.concat([SPKI_HEAD, parts.key.raw]),
    encodeElement(
      0xa3,
      parts.extensions ??
        encodeSequence(
          encodeBasicConstraints({ isCa: false }),
          encodeKeyUsage(KEY_USAGE.digitalSignature),
          encodeExtendedKeyUsage(EXTENDED_KEY_USAGE.clientAuthentication),
          encodeSubjectAltName([{ tag: NAME_TAG.uri, value: Buffer.from(parts.uri) }]),
        ),
    ),
    parts.rest ?? Buffer.alloc(0),
  );
  const signature = await signWith(signer, toBeSigned);
  return encodeSequence(toBeSigned, signer.algorithm, encodeElement(DER_TAG.bitString, Buffer.of(0), signature));
}
