import { IngestError } from "../errors.js";
import { type AgentPublicKey, parseAgentPublicKey } from "../identity/agent-key.js";
import { requirePossession } from "../identity/csr.js";
import type { Tag } from "../store/hosts/tags.js";
import type { IdentifyingAddresses } from "./duplicates/identifying-addresses.js";

/** A registration as it came over the wire, before anything was looked at. */
export interface RawRegistration {
  orgToken: string;
  publicKey: string;
  csrDer: Uint8Array;
  hostname: string;
  version: string;
  os: string;
  osVersion: string;
  arch: string;
  ipAddresses: readonly string[];
  tags: readonly Tag[];
}

/** A registration whose fields are well-formed, and whose key is proven. The proof is not kept. */
export interface Registration extends Omit<RawRegistration, "publicKey" | "csrDer"> {
  publicKey: AgentPublicKey;
  /** Those of its addresses that tell it from other machines. */
  identifyingAddresses: string[];
}

/** Longest accepted values, in UTF-16 code units, and longest lists. README.md documents them. */
const MAX_LENGTH = {
  org_token: 512,
  public_key: 1_024,
  "agent_info.hostname": 255,
  "agent_info.version": 128,
  "platform_info.os": 128,
  "platform_info.os_version": 256,
  "platform_info.arch": 64,
  "platform_info.ip_addresses": 64,
  tag_key: 128,
  tag_value: 256,
};
const MAX_IP_ADDRESSES = 512;
const MAX_TAGS = 64;
/** What an agent says that cannot read its hostname. */
const UNKNOWN_HOSTNAME = "unknown";

/**
 * Checks the form of a registration (lengths, NUL characters, which PostgreSQL does not store, the public key), and
 * demands the proof of possession.
 *
 * @throws IngestError `invalid_field`, naming the field
 */
export async function proveRegistration(
  { csrDer, ...raw }: RawRegistration,
  identifying: IdentifyingAddresses,
): Promise<Registration> {
  checkText("org_token", raw.orgToken, MAX_LENGTH.org_token);
  if (raw.publicKey === "") throw invalid("public_key", "missing; expected an Ed25519 public key in PEM");
  checkText("public_key", raw.publicKey, MAX_LENGTH.public_key);
  checkText("agent_info.hostname", raw.hostname, MAX_LENGTH["agent_info.hostname"]);
  checkText("agent_info.version", raw.version, MAX_LENGTH["agent_info.version"]);
  checkText("platform_info.os", raw.os, MAX_LENGTH["platform_info.os"]);
  checkText("platform_info.os_version", raw.osVersion, MAX_LENGTH["platform_info.os_version"]);
  checkText("platform_info.arch", raw.arch, MAX_LENGTH["platform_info.arch"]);
  checkCount("platform_info.ip_addresses", raw.ipAddresses.length, MAX_IP_ADDRESSES);
  for (const address of raw.ipAddresses) {
    checkText("platform_info.ip_addresses", address, MAX_LENGTH["platform_info.ip_addresses"]);
  }
  checkCount("tags", raw.tags.length, MAX_TAGS);
  raw.tags.forEach(({ key, value }, index) => {
    if (key.trim() === "") throw invalid(`tags[${index}].key`, "missing");
    checkText(`tags[${index}].key`, key, MAX_LENGTH.tag_key);
    checkText(`tags[${index}].value`, value, MAX_LENGTH.tag_value);
  });
  const publicKey = parseAgentPublicKey(raw.publicKey);
  await requirePossession(csrDer, publicKey);
  return {
    ...raw,
    hostname: raw.hostname || UNKNOWN_HOSTNAME,
    publicKey,
    identifyingAddresses: identifying.pick(raw.ipAddresses),
  };
}

function checkText(field: string, value: string, maxLength: number): void {
  if (value.length > maxLength) throw invalid(field, `longer than ${maxLength} characters`);
  if (value.includes("\0")) throw invalid(field, "contains a NUL character");
  if (!value.isWellFormed()) throw invalid(field, "is not well-formed Unicode");
}

function checkCount(field: string, count: number, max: number): void {
  if (count > max) throw invalid(field, `more than ${max} entries`);
}

function invalid(field: string, why: string): IngestError {
  return new IngestError("invalid_field", `${field}: ${why}`);
}
