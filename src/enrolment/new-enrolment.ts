import type { IssuedCertificate } from "../identity/client-certificate.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";
import { createId } from "../lib/ids.js";
import { certificateColumns, insertAgent, insertStatusHistory, reviveAgent } from "../store/agents.js";
import { rememberClientCertificate } from "../store/client-certificates.js";
import type { Queryable } from "../store/database.js";
import { takeTokenUse, type UsableToken } from "../store/enrolment-tokens.js";
import { deleteHostsOfAgent, insertHost } from "../store/hosts.js";
import { insertRegistration } from "../store/registrations.js";
import { linkHostTags } from "../store/tags.js";
import type { Registration } from "./registration-request.js";
import { mergeTags, readTags } from "./tags.js";
import { TokenUnusable } from "./token-check.js";

/** A new agent with its host, as it is written. */
export interface Enrolment {
  identity: SpiffeIdentity;
  registration: Registration;
  token: UsableToken;
  /** Issued when the token approves by itself. */
  certificate: IssuedCertificate | undefined;
  /** Whether the agent had this key before, and was deleted. */
  revives: boolean;
}

/** Rolls an enrolment back: its key became known meanwhile. */
export class KeyTaken extends Error {
  override readonly name = "KeyTaken";
}

/**
 * Writes a new agent with all that belongs to it.
 *
 * @throws KeyTaken, TokenUnusable: the transaction is to be rolled back
 */
export async function writeEnrolment(tx: Queryable, enrolment: Enrolment): Promise<void> {
  const { identity, registration, token, certificate, revives } = enrolment;
  const { agentId, organisationId } = identity;
  const { hostname, version, os, osVersion, arch } = registration;
  const agent = {
    id: agentId,
    organisationId,
    hostname,
    publicKey: registration.publicKey.pem,
    status: certificate === undefined ? "pending" : "active",
    version,
    os,
    arch,
    enrolmentTokenId: token.id,
    ...(certificate && { approvedAt: new Date(), ...certificateColumns(certificate) }),
  };
  if (revives) {
    await deleteHostsOfAgent(tx, agentId);
    await reviveAgent(tx, agent);
  } else if (!(await insertAgent(tx, agent))) {
    throw new KeyTaken();
  }
  if (certificate !== undefined) await rememberClientCertificate(tx, agentId, certificate);
  await insertRegistration(tx, agentId);

  const ownTags = mergeTags(readTags(token.metadata?.tags), registration.tags);
  const hostId = createId();
  await insertHost(
    tx,
    { id: hostId, organisationId, agentId, hostname, os, osVersion: osVersion || null, arch },
    certificate === undefined ? ownTags : [],
  );
  const change = { agentId, organisationId };
  await insertStatusHistory(tx, [
    { ...change, status: "pending", reason: revives ? "registered again after it was deleted" : "registered" },
    ...(certificate ? [{ ...change, status: "active" as const, reason: "approved by the enrolment token" }] : []),
  ]);
  if (certificate !== undefined) {
    const defaultTags = readTags(token.organisationMetadata?.defaultTags);
    await linkHostTags(tx, { organisationId, hostId, wanted: mergeTags(defaultTags, ownTags) });
  }
  // Last, because the token's row is what all registrations with it wait for.
  if (!(await takeTokenUse(tx, token.id))) throw new TokenUnusable("exhausted");
}
