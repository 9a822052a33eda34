import { IngestError } from "../../errors.js";
import { PRESENCE_S } from "../../store/enrolment/host-state.js";
import type { MatchingHost } from "../../store/enrolment/matching-hosts.js";
import type { DuplicateDecision, HostTaken } from "./duplicate-rule.js";

const MAX_NAMED = 5;

const OTHER_MACHINE =
  "if that is another machine, give this one a hostname and addresses of its own; if this one replaces it, stop the " +
  "agent there or delete that host in CT-Ops, and try again";

const STATE: Record<HostTaken, string> = {
  revoked: "was revoked",
  online: "is online",
  streaming: "has a stream open",
  here: `was here less than ${PRESENCE_S} seconds ago`,
  registered: `registered less than ${PRESENCE_S} seconds ago`,
  adopted: "was taken over by another new key that waits for approval",
};

const WHAT_TO_DO: Record<HostTaken, string> = {
  revoked: "an operator can delete that host in CT-Ops, or take the revocation back",
  online: OTHER_MACHINE,
  streaming: OTHER_MACHINE,
  here: OTHER_MACHINE,
  registered: OTHER_MACHINE,
  adopted: "an operator can approve or reject that key, or delete that host in CT-Ops",
};

/** The refusal of a new key whose machine is taken to be one that exists: which, what matched, why, and what to do. */
export function duplicateRefusal(decision: Extract<DuplicateDecision, { kind: "refuse" | "ambiguous" }>): IngestError {
  if (decision.kind === "ambiguous") {
    const named = decision.hosts.slice(0, MAX_NAMED).map(describeHost).join("; ");
    const more = decision.hosts.length > MAX_NAMED ? `; and ${decision.hosts.length - MAX_NAMED} more` : "";
    return new IngestError(
      "host_exists",
      `this machine may be any of several hosts that are not online: ${named}${more}; delete those in CT-Ops that are ` +
        "gone, and try again",
      { reason: "host_ambiguous" },
    );
  }
  const { host, because } = decision;
  return new IngestError(
    "host_exists",
    `this machine exists already as ${describeHost(host)}, which ${describeTaken(because)}`,
    { reason: `host_${because}` },
  );
}

/** Why a host cannot be taken over, and what to do. */
export function describeTaken(because: HostTaken): string {
  return `${STATE[because]}; ${WHAT_TO_DO[because]}`;
}

/** What a host has in common with the machine that registers. */
export function describeMatch({ hostnameMatches, matchingAddresses }: MatchingHost): string {
  const addresses = matchingAddresses.slice(0, MAX_NAMED).join(", ");
  return [...(hostnameMatches ? ["same hostname"] : []), ...(addresses ? [`same address ${addresses}`] : [])].join(
    ", ",
  );
}

function describeHost(host: MatchingHost): string {
  return `host ${host.hostname} (${host.hostId}; ${describeMatch(host)})`;
}
