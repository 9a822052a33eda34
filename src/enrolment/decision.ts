import type { IngestError } from "../errors.js";
import type { AddressRemark } from "../store/enrolment/address-remarks.js";
import type { UsableToken } from "../store/enrolment/enrolment-tokens.js";
import type { KnownAgent } from "../store/enrolment/known-agents.js";
import type { MatchingHost } from "../store/enrolment/matching-hosts.js";
import { duplicateRefusal } from "./duplicates/duplicate-refusal.js";
import { type AddressMatch, decideDuplicate } from "./duplicates/duplicate-rule.js";
import { remarksOn } from "./duplicates/same-address.js";
import type { RegistrationConnection } from "./registration-connection.js";
import type { Registration } from "./registration-request.js";

/**
 * What is to become of a registration. It is decided before anything is signed or written; whoever writes looks again
 * under locks, and gives up when that would be decided otherwise.
 */
export type Decision =
  /** The agent has the key and is served. */
  | { kind: "answer"; agent: KnownAgent }
  /** Another key adopted the agent, and the agent's own key takes it back. */
  | { kind: "take back"; agent: KnownAgent }
  /** The agent was revoked, or the key was rejected when it adopted the agent. */
  | { kind: "revoked"; agentId: string }
  /** The key becomes an agent. */
  | EnrolDecision
  | Refusal;

/** The caller is told no. */
export interface Refusal {
  kind: "refuse";
  error: IngestError;
}

/** A key that no agent has, with the machine that holds it and the enrolment token it came with. */
export interface NewKey {
  registration: Registration;
  token: UsableToken;
  connection: RegistrationConnection;
  /** The agent that had the key and was deleted. */
  goneId: string | undefined;
  /** An operator deleted the agent of this key, or revoked its certificate: whether it may come back an operator knows. */
  isReturning: boolean;
}

/** The key becomes a new agent, or that of a host that is gone. */
export type EnrolDecision = {
  key: NewKey;
  /** Whether it is active at once. */
  isApproved: boolean;
} & (
  | {
      kind: "enrol";
      /** Hosts of other names with the same address, for which it waits for an operator. */
      sameAddress: readonly MatchingHost[];
    }
  | { kind: "adopt"; host: MatchingHost }
);

/** How an operator wants new keys to be decided about. */
export interface NewKeyPolicy {
  /** Whether a token that approves by itself also approves that a new key takes a host over. */
  adoptAutoApprove: boolean;
  addressMatch: AddressMatch;
}

/** Decides about a key that no agent has, by the hosts that its machine matches. */
export function decideNewKey(
  key: NewKey,
  matching: readonly MatchingHost[],
  { adoptAutoApprove, addressMatch }: NewKeyPolicy,
): EnrolDecision | Refusal {
  const autoApprove = key.token.autoApprove && !key.isReturning;
  const { hostname } = key.registration;
  const found = decideDuplicate(matching, { hostname, addressMatch });
  switch (found.kind) {
    case "new": {
      const { sameAddress } = found;
      // Whether it is another machine an operator knows.
      return { kind: "enrol", key, sameAddress, isApproved: autoApprove && sameAddress.length === 0 };
    }
    case "adopt":
      // A new key takes an old identity, which the token's maker did not have in mind.
      return { kind: "adopt", key, host: found.host, isApproved: autoApprove && adoptAutoApprove };
    default:
      return { kind: "refuse", error: duplicateRefusal(found) };
  }
}

/**
 * Whether two decisions come to the same, so that what was prepared for one can be written for the other. What is remarked
 * of a machine may differ: of many that register at once with one address, each would be decided about again and again.
 */
export function isSameDecision(a: EnrolDecision, b: EnrolDecision | Refusal): b is EnrolDecision {
  if (b.kind === "refuse" || a.isApproved !== b.isApproved) return false;
  if (a.kind === "enrol" || b.kind === "enrol") return a.kind === b.kind;
  return a.host.hostId === b.host.hostId && a.host.agent?.id === b.host.agent?.id;
}

/** What an operator is to know of the machine. */
export function remarksOf(decision: EnrolDecision): AddressRemark[] {
  return decision.kind === "enrol" ? remarksOn(decision.sameAddress) : [];
}
