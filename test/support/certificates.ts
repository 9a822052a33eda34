import { generateKeyPairSync, type KeyObject, webcrypto } from "node:crypto";
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { unsealKey } from "../../dist/identity/sealed-key.js";
import type { TestKey } from "./field-agent.js";
import { ENCRYPTION_SECRET, type TestService } from "./service.js";

const ISSUER = "O=ct-ops, CN=ct-ops Agent CA";

/** The private key of the service's agent CA. */
export async function agentCaKey(service: TestService): Promise<string> {
  const [row] = await service.database.query("select key_pem_encrypted from certificate_authorities");
  return unsealKey(row?.key_pem_encrypted, ENCRYPTION_SECRET);
}

/** A CA of the same name that nobody trusts. */
export function createForeignCaKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** What a forged client certificate says. */
export interface Forgery {
  key: TestKey;
  uris: string[];
  notBefore?: Date;
  notAfter?: Date;
  extendedKeyUsage?: string[];
  isCa?: boolean;
}

/** Signs a client certificate that the service would never issue. */
export async function forgeCertificate(caKey: KeyObject, forgery: Forgery): Promise<string> {
  const { key, uris, extendedKeyUsage = ["1.3.6.1.5.5.7.3.2"], isCa = false } = forgery;
  const day = 24 * 60 * 60 * 1000;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: "0a0b0c",
    subject: "CN=forged",
    issuer: ISSUER,
    notBefore: forgery.notBefore ?? new Date(Date.now() - day),
    notAfter: forgery.notAfter ?? new Date(Date.now() + day),
    publicKey: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key.raw]),
    signingKey: await webcrypto.subtle.importKey(
      "pkcs8",
      caKey.export({ format: "der", type: "pkcs8" }),
      { name: "ECDSA", namedCurve: "P-256" },
      false,
      ["sign"],
    ),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new BasicConstraintsExtension(isCa, undefined, true),
      new ExtendedKeyUsageExtension(extendedKeyUsage),
      new SubjectAlternativeNameExtension(uris.map((value) => ({ type: "url" as const, value }))),
    ],
  });
  return certificate.toString("pem");
}
