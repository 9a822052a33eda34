import type { HostState } from "../../store/enrolment/host-state.js";
import type { MatchingHost } from "../../store/enrolment/matching-hosts.js";
import { identifyingHostname } from "./identifying-hostname.js";

/** Why a host cannot be taken over by a new key. */
export type HostTaken = "revoked" | "online" | "streaming" | "here" | "registered" | "adopted";

/**
 * What an address in common means without the hostname: nothing but a remark for the operator, who decides (machines of
 * many sites have the same private address, and anybody can say to have one); or as much as the hostname.
 */
export type AddressMatch = "remark" | "strict";

/** What becomes of a new key, for the hosts its machine matches. */
export type DuplicateDecision =
  /** It is a host of its own; an operator is to know of those with the same address. */
  | { kind: "new"; sameAddress: readonly MatchingHost[] }
  /** The host's agent goes over to the new key; a host without one is given a new agent. */
  | { kind: "adopt"; host: MatchingHost }
  | { kind: "refuse"; host: MatchingHost; because: HostTaken }
  /** None of them is there, and which one it is cannot be told. */
  | { kind: "ambiguous"; hosts: readonly MatchingHost[] };

/**
 * Decides, for a key that is not known, what the hosts mean that match its machine.
 *
 * @param hostname of the machine
 */
export function decideDuplicate(
  matching: readonly MatchingHost[],
  { hostname, addressMatch }: { hostname: string; addressMatch: AddressMatch },
): DuplicateDecision {
  const deciding = addressMatch === "strict" ? matching : matching.filter((host) => !hasAnotherName(host, hostname));
  for (const host of deciding) {
    const because = whyTaken(host);
    if (because !== undefined) return { kind: "refuse", host, because };
  }
  const [only, ...others] = deciding;
  if (only === undefined) return { kind: "new", sameAddress: matching };
  return others.length === 0 ? { kind: "adopt", host: only } : { kind: "ambiguous", hosts: deciding };
}

/** Whether a host and a machine have different names. Where neither has one, an address is all there is to tell by. */
function hasAnotherName(host: MatchingHost, hostname: string): boolean {
  if (host.hostnameMatches) return false;
  return identifyingHostname(hostname) !== undefined || identifyingHostname(host.hostname) !== undefined;
}

/** Why no new key may take a host over; undefined when one may, since nobody is there. */
export function whyTaken({ status, wasHere, agent }: HostState): HostTaken | undefined {
  if (agent?.status === "revoked") return "revoked";
  if (status === "online") return "online";
  if (agent?.isStreaming) return "streaming";
  // Two new keys do not take turns: only the one that was there before undoes an adoption.
  if (agent?.isAdopted) return "adopted";
  if (wasHere) return "here";
  return agent?.hasJustRegistered ? "registered" : undefined;
}
