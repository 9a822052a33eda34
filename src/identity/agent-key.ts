import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { IngestError } from "../errors.js";
import { isWeakPoint } from "./ed25519-point.js";

const RAW_LENGTH = 32;
/** The DER that precedes the raw key in an Ed25519 SubjectPublicKeyInfo (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** An agent's Ed25519 public key. Two are the same when their PEM is. */
export interface AgentPublicKey {
  /** The 32 bytes. */
  readonly raw: Buffer;
  /** PEM of the raw bytes, exactly as Go's encoder writes it: the form in which `agents.public_key` holds it. */
  readonly pem: string;
}

/**
 * Reads the key an agent sends: a PEM block `PUBLIC KEY` with the raw 32 bytes (installed agents) or with a standard
 * SubjectPublicKeyInfo.
 *
 * @throws IngestError `invalid_field`
 */
export function parseAgentPublicKey(pem: string): AgentPublicKey {
  const base64 = /^\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]{1,200})-----END PUBLIC KEY-----\s*$/.exec(pem)?.[1];
  const der = Buffer.from(base64 ?? "", "base64");
  const raw = der.length === RAW_LENGTH ? der : rawFromSpki(der);
  if (raw === undefined) {
    throw new IngestError(
      "invalid_field",
      "public_key: expected a PEM block PUBLIC KEY with an Ed25519 key (32 raw bytes, or SPKI)",
    );
  }
  if (isWeakPoint(raw)) {
    throw new IngestError(
      "invalid_field",
      "public_key: not a key that anybody could prove to have (a point of small order, or not in its one form); make another",
    );
  }
  return toAgentPublicKey(raw);
}

/** Whether a stored key, in whichever form, is this one. */
export function isStoredKey(pem: string, key: AgentPublicKey): boolean {
  try {
    return parseAgentPublicKey(pem).pem === key.pem;
  } catch {
    return false;
  }
}

/** The agent key in an SPKI structure; undefined when that is not an Ed25519 key, or one that proves nothing. */
export function agentPublicKeyFromSpki(spki: Uint8Array): AgentPublicKey | undefined {
  const raw = rawFromSpki(Buffer.from(spki));
  return raw === undefined || isWeakPoint(raw) ? undefined : toAgentPublicKey(raw);
}

/** The key in the form that {@link agentPublicKeyFromSpki} reads. */
export function agentPublicKeyToSpki({ raw }: AgentPublicKey): Buffer {
  return Buffer.concat([SPKI_PREFIX, raw]);
}

/** The key as Node verifies with it. As a JSON Web Key, since OpenSSL takes ten times as long to read DER. */
export function agentPublicKeyToKeyObject({ raw }: AgentPublicKey): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
}

/** The thumbprint of the key as a JSON Web Key (RFC 7638; RFC 8037 for Ed25519), base64url. */
export function agentKeyThumbprint({ raw }: AgentPublicKey): string {
  const canonical = JSON.stringify({ crv: "Ed25519", kty: "OKP", x: raw.toString("base64url") });
  return createHash("sha256").update(canonical).digest("base64url");
}

function rawFromSpki(der: Buffer): Buffer | undefined {
  const isEd25519 =
    der.length === SPKI_PREFIX.length + RAW_LENGTH && der.subarray(0, SPKI_PREFIX.length).equals(SPKI_PREFIX);
  return isEd25519 ? der.subarray(SPKI_PREFIX.length) : undefined;
}

function toAgentPublicKey(raw: Buffer): AgentPublicKey {
  return { raw, pem: `-----BEGIN PUBLIC KEY-----\n${raw.toString("base64")}\n-----END PUBLIC KEY-----\n` };
}
