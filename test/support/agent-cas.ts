import { generateKeyPairSync, webcrypto } from "node:crypto";
import "reflect-metadata";
import { BasicConstraintsExtension, X509CertificateGenerator } from "@peculiar/x509";

/** A CA as an operator might make it, good for as long as is asked. */
export async function createOperatorCa(lifetimeMs: number): Promise<{ certificatePem: string; keyPem: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=an operator's CA",
    keys: {
      privateKey: await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"]),
      publicKey: await webcrypto.subtle.importKey("spki", spki, algorithm, true, ["verify"]),
    },
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    notBefore: new Date(),
    notAfter: new Date(Date.now() + lifetimeMs),
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  });
  return {
    certificatePem: certificate.toString("pem"),
    keyPem: privateKey.export({ format: "pem", type: "sec1" }).toString(),
  };
}
