import type { IssuedCertificate } from "../identity/client-certificates/issue-client-certificate.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";
import { createId } from "../lib/ids.js";
import { certificateColumns, type NewAgent } from "../store/agents/agents.js";
import type { UsableToken } from "../store/enrolment/enrolment-tokens.js";
import type { MachineDescription } from "../store/enrolment/matching-hosts.js";
import type { NewHost } from "../store/hosts/hosts.js";
import type { Tag } from "../store/hosts/tags.js";
import { identifyingHostname } from "./duplicates/duplicate-rule.js";
import type { Registration } from "./registration-request.js";
import { mergeTags, readTags } from "./tags.js";

/** A key that no agent has, the machine that holds it, and the enrolment token it came with. */
export interface NewKey {
  registration: Registration;
  token: UsableToken;
}

/** The machine of a new key, as it is compared with others. */
export function machineOf({ registration, token }: NewKey): MachineDescription {
  const { hostname, identifyingAddresses } = registration;
  const { organisationId } = token;
  return { organisationId, hostname: identifyingHostname(hostname), addresses: identifyingAddresses };
}

/** An agent with its host, as a new key makes or claims it. */
export interface Enrolment extends NewKey {
  identity: SpiffeIdentity;
  /** Issued when the token approves by itself. */
  certificate: IssuedCertificate | undefined;
}

/** The row of a new host. */
export function newHostOf(
  { agentId, organisationId }: SpiffeIdentity,
  { hostname, os, osVersion, arch }: Registration,
): NewHost {
  return { id: createId(), organisationId, agentId, hostname, os, osVersion: osVersion || null, arch };
}

/** The row of the agent. */
export function agentOf({ identity, registration, token, certificate }: Enrolment): NewAgent {
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
export function pendingTagsOf(enrolment: Enrolment): Tag[] {
  return enrolment.certificate === undefined ? ownTagsOf(enrolment) : [];
}

/** The tags of the machine itself: its token's and those it registered with. */
export function ownTagsOf({ token, registration }: Enrolment): Tag[] {
  return mergeTags(readTags(token.metadata?.tags), registration.tags);
}
