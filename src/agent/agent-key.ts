// @peculiar/x509 needs the reflection polyfill in place before it is loaded.
import "reflect-metadata";
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, webcrypto } from "node:crypto";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";

const ALGORITHM = "Ed25519";
const RAW_LENGTH = 32;
/** What installed agents write there; the service takes the agent's id from its own records. */
const SUBJECT = "CN=ct-ops-agent";

/** An agent's Ed25519 key pair: the one thing it must not lose. */
export interface AgentKey {
  /** PEM block `PUBLIC KEY` with the raw 32 bytes, as installed agents send it. */
  publicKeyPem: string;
  /** PKCS#8. */
  privateKeyPem: string;
  /** Makes a PKCS#10 request (DER), signed by the key: the proof of possession. */
  createCsr(): Promise<Uint8Array>;
}

/** Makes a new key pair. */
export function createAgentKey(): AgentKey {
  return toAgentKey(generateKeyPairSync("ed25519").privateKey);
}

/**
 * Reads a key pair from its private key.
 *
 * @throws Error when it is not an Ed25519 private key in PEM
 */
export function loadAgentKey(privateKeyPem: string): AgentKey {
  const privateKey = createPrivateKey(privateKeyPem);
  if (privateKey.asymmetricKeyType !== "ed25519") throw new Error("not an Ed25519 private key");
  return toAgentKey(privateKey);
}

function toAgentKey(privateKey: KeyObject): AgentKey {
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const raw = spki.subarray(-RAW_LENGTH);
  return {
    publicKeyPem: `-----BEGIN PUBLIC KEY-----\n${raw.toString("base64")}\n-----END PUBLIC KEY-----\n`,
    privateKeyPem: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    createCsr: async () => {
      const { subtle } = webcrypto;
      const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
      const csr = await Pkcs10CertificateRequestGenerator.create({
        name: SUBJECT,
        keys: {
          publicKey: await subtle.importKey("spki", spki, ALGORITHM, true, ["verify"]),
          privateKey: await subtle.importKey("pkcs8", pkcs8, ALGORITHM, false, ["sign"]),
        },
        signingAlgorithm: { name: ALGORITHM },
      });
      return new Uint8Array(csr.rawData);
    },
  };
}
