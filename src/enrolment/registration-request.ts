import { IngestError } from "../errors.js";
import { type AgentPublicKey, parseAgentPublicKey } from "../identity/agent-key.js";
import { requirePossession } from "../identity/csr.js";
import { boundText, isClean } from "../lib/formats/bounded-text.js";
import { trimPasted } from "../lib/formats/trim-pasted.js";
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

/** A registration whose key is proven, and whose values are within bounds. The proof is not kept. */
export interface Registration extends Omit<RawRegistration, "publicKey" | "csrDer" | "ipAddresses"> {
  publicKey: AgentPublicKey;
  /** Those of its addresses that tell it from other machines. */
  identifyingAddresses: string[];
  /** Why it is refused as that of a new machine; an agent that is known is never refused for its form. */
  problem: IngestError | undefined;
}

/** Longest values, in UTF-16 code units, and longest lists. README.md documents them. */
const MAX_LENGTH = {
  orgToken: 512,
  publicKey: 1_024,
  hostname: 255,
  version: 128,
  os: 128,
  osVersion: 256,
  arch: 64,
  tagKey: 128,
  tagValue: 256,
};
const MAX_TAGS = 64;
/** What no list shows: with it one machine's name looks like another's. */
const UNSEEN = /[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
/** What an agent says that cannot read its hostname. */
const UNKNOWN_HOSTNAME = "unknown";

/**
 * Reads a registration: its key has to be proven, everything else is brought within bounds, as heartbeats are.
 *
 * @throws IngestError `invalid_field`, naming the field, for the key and its proof
 */
export async function proveRegistration(
  raw: RawRegistration,
  identifying: IdentifyingAddresses,
): Promise<Registration> {
  if (raw.publicKey === "") throw invalid("public_key", "missing; expected an Ed25519 public key in PEM");
  if (raw.publicKey.length > MAX_LENGTH.publicKey) throw tooLong("public_key", MAX_LENGTH.publicKey);
  const publicKey = parseAgentPublicKey(raw.publicKey);
  await requirePossession(raw.csrDer, publicKey);
  const orgToken = trimPasted(raw.orgToken);
  return {
    publicKey,
    // One that is too long is none of ours: it is not to be looked for.
    orgToken: orgToken.length > MAX_LENGTH.orgToken ? "" : orgToken,
    hostname: boundText(raw.hostname, MAX_LENGTH.hostname).trim() || UNKNOWN_HOSTNAME,
    version: boundText(raw.version, MAX_LENGTH.version),
    os: boundText(raw.os, MAX_LENGTH.os),
    osVersion: boundText(raw.osVersion, MAX_LENGTH.osVersion),
    arch: boundText(raw.arch, MAX_LENGTH.arch),
    tags: raw.tags
      .slice(0, MAX_TAGS)
      .map(({ key, value }) => ({
        key: boundText(key, MAX_LENGTH.tagKey).trim(),
        value: boundText(value, MAX_LENGTH.tagValue),
      }))
      .filter(({ key }) => key !== ""),
    identifyingAddresses: identifying.pick(raw.ipAddresses),
    problem: findProblem(raw, orgToken),
  };
}

/** What would make another machine of it when it is cut or cleaned, and what nobody means. */
function findProblem({ hostname, version, tags }: RawRegistration, orgToken: string): IngestError | undefined {
  if (orgToken === "") return invalid("org_token", "missing; expected an enrolment token");
  if (orgToken.length > MAX_LENGTH.orgToken) return tooLong("org_token", MAX_LENGTH.orgToken);
  if (hostname.length > MAX_LENGTH.hostname) return tooLong("agent_info.hostname", MAX_LENGTH.hostname);
  const texts: [string, string][] = [
    ["agent_info.hostname", hostname],
    ["agent_info.version", version],
    ...tags.slice(0, MAX_TAGS).flatMap(({ key, value }, index): [string, string][] => [
      [`tags[${index}].key`, key],
      [`tags[${index}].value`, value],
    ]),
  ];
  const unclean = texts.find(([, text]) => !isClean(text));
  if (unclean !== undefined) {
    return invalid(unclean[0], "contains a control character, or is not well-formed Unicode");
  }
  return UNSEEN.test(hostname) ? invalid("agent_info.hostname", "contains a character that cannot be seen") : undefined;
}

function tooLong(field: string, maxLength: number): IngestError {
  return invalid(field, `longer than ${maxLength} characters`);
}

function invalid(field: string, why: string): IngestError {
  return new IngestError("invalid_field", `${field}: ${why}`);
}
