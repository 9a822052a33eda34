import type { MatchingHost } from "../../store/enrolment/matching-hosts.js";

/** Why a host cannot be taken over by a new key. */
export type HostTaken = "revoked" | "online" | "streaming" | "registered" | "adopted";

/** What becomes of a new key, for the hosts its machine matches. */
export type DuplicateDecision =
  | { kind: "new" }
  /** The host's agent goes over to the new key; a host without one is given a new agent. */
  | { kind: "adopt"; host: MatchingHost }
  | { kind: "refuse"; host: MatchingHost; because: HostTaken }
  /** None of them is there, and which one it is cannot be told. */
  | { kind: "ambiguous"; hosts: readonly MatchingHost[] };

/** Decides, for a key that is not known, what the hosts mean that match its machine. */
export function decideDuplicate(matching: readonly MatchingHost[]): DuplicateDecision {
  for (const host of matching) {
    const because = whyTaken(host);
    if (because !== undefined) return { kind: "refuse", host, because };
  }
  const [only, ...others] = matching;
  if (only === undefined) return { kind: "new" };
  return others.length === 0 ? { kind: "adopt", host: only } : { kind: "ambiguous", hosts: matching };
}

function whyTaken({ status, agent }: MatchingHost): HostTaken | undefined {
  if (agent?.status === "revoked") return "revoked";
  if (status === "online") return "online";
  if (agent?.isStreaming) return "streaming";
  // Two new keys do not take turns: only the one that was there before undoes an adoption.
  if (agent?.isAdopted) return "adopted";
  return agent?.hasJustRegistered ? "registered" : undefined;
}
