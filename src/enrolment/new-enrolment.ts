import type { IssuedCertificate } from "../identity/client-certificate.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";
import { createId } from "../lib/ids.js";
import { forgetAdoption } from "../store/adoptions.js";
import { certificateColumns, insertAgent, type NewAgent, renewAgent } from "../store/agents.js";
import type { Queryable } from "../store/database.js";
import { takeTokenUse, type UsableToken } from "../store/enrolment-tokens.js";
import { recordEnrolment } from "../store/enrolments.js";
import { deleteHostsOfAgent, insertHost } from "../store/hosts.js";
import { linkHostTags, type Tag } from "../store/tags.js";
import type { Registration } from "./registration-request.js";
import { mergeTags, readTags } from "./tags.js";
import { TokenUnusable } from "./token-check.js";

/** An agent with its host, as a new key makes or claims it. */
export interface Enrolment {
  identity: SpiffeIdentity;
  registration: Registration;
  token: UsableToken;
  /** Issued when the token approves by itself. */
  certificate: IssuedCertificate | undefined;
}

/** Rolls an enrolment back: its key became known meanwhile. */
export class KeyTaken extends Error {
  override readonly name = "KeyTaken";
}

/**
 * Writes a new agent with all that belongs to it.
 *
 * @param revives whether the agent had this key before, and was deleted
 * @throws KeyTaken, TokenUnusable: the transaction is to be rolled back
 */
export async function writeEnrolment(tx: Queryable, enrolment: Enrolment, revives: boolean): Promise<void> {
  const { agentId, organisationId } = enrolment.identity;
  const { hostname, os, osVersion, arch } = enrolment.registration;
  if (revives) await deleteHostsOfAgent(tx, agentId);
  await putAgent(tx, enrolment, revives);
  const hostId = createId();
  await insertHost(
    tx,
    { id: hostId, organisationId, agentId, hostname, os, osVersion: osVersion || null, arch },
    pendingTagsOf(enrolment),
  );
  await finishEnrolment(tx, enrolment, hostId, revives ? "registered again after it was deleted" : "registered");
}

/** @throws KeyTaken */
export async function putAgent(tx: Queryable, enrolment: Enrolment, revives: boolean): Promise<void> {
  if (revives) {
    await renewAgent(tx, agentOf(enrolment));
    // Otherwise the key from which it was claimed before it was deleted could take back what was enrolled anew.
    await forgetAdoption(tx, enrolment.identity.agentId);
  } else if (!(await insertAgent(tx, agentOf(enrolment)))) throw new KeyTaken();
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

/** The tags that wait for the approval of the agent. */
export function pendingTagsOf(enrolment: Enrolment): Tag[] {
  return enrolment.certificate === undefined ? ownTagsOf(enrolment) : [];
}

function ownTagsOf({ token, registration }: Enrolment): Tag[] {
  return mergeTags(readTags(token.metadata?.tags), registration.tags);
}

/**
 * Writes what follows when agent and host are there: that it registered, history, tags, and the token's use.
 *
 * @param reason for the history: why the agent is pending, which every one is at first
 * @throws TokenUnusable
 */
export async function finishEnrolment(
  tx: Queryable,
  enrolment: Enrolment,
  hostId: string,
  reason: string,
): Promise<void> {
  const { identity, registration, token, certificate } = enrolment;
  const { agentId, organisationId } = identity;
  await recordEnrolment(tx, {
    agentId,
    organisationId,
    identifyingAddresses: registration.identifyingAddresses,
    certificate,
    history: [
      { status: "pending", reason },
      ...(certificate ? [{ status: "active" as const, reason: "approved by the enrolment token" }] : []),
    ],
  });
  if (certificate !== undefined) {
    const defaultTags = readTags(token.organisationMetadata?.defaultTags);
    await linkHostTags(tx, { organisationId, hostId, wanted: mergeTags(defaultTags, ownTagsOf(enrolment)) });
  }
  // Last, because the token's row is what all registrations with it wait for.
  if (!(await takeTokenUse(tx, token.id))) throw new TokenUnusable("exhausted");
}
