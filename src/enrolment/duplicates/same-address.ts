import type { AddressRemark } from "../../store/enrolment/address-remarks.js";
import type { MatchingHost } from "../../store/enrolment/matching-hosts.js";

/** Hosts that are remembered, and that are named in the history. */
const MAX_REMARKS = 20;
const MAX_NAMED = 5;

/** What an operator is to know of a machine that has addresses in common with hosts of another name. */
export function remarksOn(sameAddress: readonly MatchingHost[]): AddressRemark[] {
  return sameAddress.slice(0, MAX_REMARKS).map(({ hostId, hostname, matchingAddresses, createdAt }) => ({
    hostId,
    hostname,
    addresses: [...matchingAddresses],
    since: createdAt,
  }));
}

/** Which addresses a machine has in common with which hosts, since when those exist; empty when there is none. */
export function describeRemarks(remarks: readonly AddressRemark[]): string {
  const named = remarks.slice(0, MAX_NAMED).map(({ hostId, hostname, addresses, since }) => {
    const more = addresses.length > MAX_NAMED ? ` and ${addresses.length - MAX_NAMED} more` : "";
    const date = since.toISOString().slice(0, 10);
    return `same address ${addresses.slice(0, MAX_NAMED).join(", ")}${more} as host ${hostname} (${hostId}, since ${date})`;
  });
  const more = remarks.length > MAX_NAMED ? [`and ${remarks.length - MAX_NAMED} more hosts`] : [];
  return [...named, ...more].join("; ");
}
