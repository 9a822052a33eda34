import type { IssuedCertificate } from "../../identity/client-certificates/issue-client-certificate.js";
import type { SpiffeIdentity } from "../../identity/spiffe-id.js";
import { createId } from "../../lib/ids.js";
import { certificateColumns, type NewAgent } from "../../store/agents/agents.js";
import type { AddressRemark } from "../../store/enrolment/address-remarks.js";
import type { MachineDescription } from "../../store/enrolment/matching-hosts.js";
import type { NewHost } from "../../store/hosts/hosts.js";
import type { Tag } from "../../store/hosts/tags.js";
import type { NewKey } from "../decision.js";
import { identifyingHostname } from "../duplicates/identifying-hostname.js";
import { describeRemarks } from "../duplicates/same-address.js";
import { mergeTags, readTags } from "../tags.js";

/** The machine of a new key, as it is compared with others. */
export function machineOf({ registration, token, goneId }: NewKey): MachineDescription {
  const { hostname, identifyingAddresses } = registration;
  const { organisationId } = token;
  return {
    organisationId,
    hostname: identifyingHostname(hostname),
    addresses: identifyingAddresses,
    exceptOfAgent: goneId,
  };
}

/** An agent with its host, as a new key makes it or takes it over. */
export interface Enrolment {
  key: NewKey;
  identity: SpiffeIdentity;
  /** Issued when the agent is active at once. */
  certificate: IssuedCertificate | undefined;
  /** Hosts of other names with the same address, for which it waits for an operator. */
  remarks: readonly AddressRemark[];
}

/** Why an agent waits for an operator, whatever its token says; empty when there is no reason. */
export function describeWaiting({ isReturning }: NewKey, remarks: readonly AddressRemark[]): string {
  const returns = "an agent with the same key was deleted, or its certificate revoked";
  return [...(isReturning ? [returns] : []), ...(remarks.length > 0 ? [describeRemarks(remarks)] : [])].join("; ");
}

/** The row of a new host. */
export function newHostOf(
  { agentId, organisationId }: SpiffeIdentity,
  { hostname, os, osVersion, arch }: NewKey["registration"],
): NewHost {
  return { id: createId(), organisationId, agentId, hostname, os, osVersion: osVersion || null, arch };
}

/** The row of the agent. */
export function agentOf({ key: { registration, token }, identity, certificate }: Enrolment): NewAgent {
  return {
    id: identity.agentId,
    organisationId: identity.organisationId,
    hostname: registration.hostname,
    publicKey: registration.publicKey.pem,
    status: certificate === undefined ? "pending" : "active",
    version: registration.version,
    os: registration.os,
    arch: registration.arch,
    enrolmentTokenId: token.id,
    ...(certificate && { approvedAt: new Date(), ...certificateColumns(certificate) }),
  };
}

/** How many tags an enrolment brings, at most. */
export function countTags({ token, registration }: NewKey): number {
  const lists = [token.organisationMetadata?.defaultTags, token.metadata?.tags, registration.tags];
  return lists.reduce<number>((sum, list) => sum + readTags(list).length, 0);
}

/** The tags that wait for the approval of the agent. */
export function pendingTagsOf({ key, certificate }: Enrolment): Tag[] {
  return certificate === undefined ? ownTagsOf(key) : [];
}

/** The tags of the machine itself: its token's and those it registered with. */
export function ownTagsOf({ token, registration }: NewKey): Tag[] {
  return mergeTags(readTags(token.metadata?.tags), registration.tags);
}
