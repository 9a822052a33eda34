import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import { DER_TAG, encodeElement, encodeSequence } from "../lib/formats/der.js";

const RAW_LENGTH = 32;
const VERSION = encodeElement(DER_TAG.integer, Buffer.of(0));
/** The name `CN=ct-ops-agent`, which installed agents write there; the service takes the agent's id from its own records. */
const SUBJECT = encodeSequence(
  encodeElement(
    DER_TAG.set,
    encodeSequence(
      encodeElement(DER_TAG.objectIdentifier, Buffer.from("550403", "hex")),
      encodeElement(DER_TAG.utf8String, Buffer.from("ct-ops-agent")),
    ),
  ),
);
const NO_ATTRIBUTES = encodeElement(0xa0);
/** The DER of the AlgorithmIdentifier of Ed25519 (RFC 8410). */
const ED25519 = Buffer.from("300506032b6570", "hex");

const signInBackground = promisify(sign);

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
      // RFC 2986, section 4.
      const info = encodeSequence(VERSION, SUBJECT, spki, NO_ATTRIBUTES);
      const signature = await signInBackground(undefined, info, privateKey);
      return encodeSequence(info, ED25519, encodeElement(DER_TAG.bitString, Buffer.of(0), signature));
    },
  };
}
