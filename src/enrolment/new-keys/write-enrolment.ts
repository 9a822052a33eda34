import { describeCertificate } from "../../identity/client-certificates/client-certificates.js";
import { type AgentStatusChange, recordStatusChanges } from "../../identity/status-changes.js";
import type { Outgoing } from "../../outbox/outbox.js";
import { type EventBody, publishEvents } from "../../outbox/publish-events.js";
import { type AgentStatus, insertAgents, renewAgent } from "../../store/agents/agents.js";
import { forgetAddressRemarks, insertAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { forgetAdoption } from "../../store/enrolment/adoptions.js";
import { recordEnrolments } from "../../store/enrolment/agent-registrations.js";
import { takeTokenUses } from "../../store/enrolment/enrolment-tokens.js";
import { rememberFormerKey } from "../../store/enrolment/former-keys.js";
import { deleteHostsOfAgent, insertHosts } from "../../store/hosts/hosts.js";
import { type HostTags, linkHostTags } from "../../store/hosts/tags.js";
import type { Transaction } from "../../store/transaction.js";
import { LookAgain } from "../look-again.js";
import { showsOwnCertificate } from "../registration-connection.js";
import { mergeTags, readTags } from "../tags.js";
import { agentOf, describeWaiting, type Enrolment, newHostOf, ownTagsOf, pendingTagsOf } from "./enrolment.js";

/**
 * Writes new agents with all that belongs to them.
 *
 * @returns those that were written: the keys of the others became known meanwhile
 * @throws LookAgain: the transaction is to be rolled back
 */
export async function writeEnrolments(
  tx: Transaction,
  outgoing: Outgoing,
  enrolments: readonly Enrolment[],
): Promise<Enrolment[]> {
  const stored = await insertAgents(tx, enrolments.map(agentOf));
  const written = enrolments.filter(({ identity }) => stored.has(identity.agentId));
  if (written.length > 0) await putHosts(tx, outgoing, written, "registered");
  return written;
}

/**
 * Writes the agent that had the key before, and was deleted, as a new one.
 *
 * @throws LookAgain: the transaction is to be rolled back
 */
export async function writeRevival(tx: Transaction, outgoing: Outgoing, enrolment: Enrolment): Promise<void> {
  await deleteHostsOfAgent(tx, enrolment.identity.agentId);
  await reviveAgent(tx, enrolment);
  await putHosts(tx, outgoing, [enrolment], "registered again after it was deleted");
}

/** @throws LookAgain when the key became known meanwhile */
export async function putAgent(tx: Transaction, enrolment: Enrolment): Promise<void> {
  if ((await insertAgents(tx, [agentOf(enrolment)])).size === 0) throw new LookAgain();
}

/** Makes an agent that was deleted a new one. */
export async function reviveAgent(tx: Transaction, enrolment: Enrolment): Promise<void> {
  await renewAgent(tx, agentOf(enrolment));
  // Otherwise the key from which it was adopted before it was deleted could take back what was enrolled anew.
  await forgetAdoption(tx, enrolment.identity.agentId);
  await forgetAddressRemarks(tx, enrolment.identity.agentId);
}

async function putHosts(
  tx: Transaction,
  outgoing: Outgoing,
  enrolments: readonly Enrolment[],
  reason: string,
): Promise<void> {
  const placed = enrolments.map((enrolment) => {
    const host = newHostOf(enrolment.identity, enrolment.key.registration);
    return {
      ...enrolment,
      host: { ...host, pendingTags: pendingTagsOf(enrolment) },
      hostId: host.id,
      from: null,
      reason,
    };
  });
  await insertHosts(
    tx,
    placed.map(({ host }) => host),
  );
  await finishEnrolments(tx, outgoing, placed);
  publishEvents(outgoing, "agent.registered", () => placed.map(describeEnrolment));
}

/** What is published of an enrolment. */
export function describeEnrolment({
  key,
  identity,
  hostId,
  certificate,
}: PlacedEnrolment): EventBody<"agent.registered"> {
  return {
    org_id: identity.organisationId,
    agent_id: identity.agentId,
    hostname: key.registration.hostname,
    host_id: hostId,
    status: certificate === undefined ? "pending" : "active",
    token_id: key.token.id,
  };
}

/** An enrolment whose agent and host are written. */
export interface PlacedEnrolment extends Enrolment {
  hostId: string;
  /** What the agent was before; null for one that is new. */
  from: AgentStatus | null;
  /** For the history: why the agent is pending, which every one is at first. */
  reason: string;
}

/**
 * Writes what follows when agents and hosts are there: that they registered, history, tags, and the uses of tokens.
 *
 * @throws LookAgain when a token has been used up meanwhile
 */
export async function finishEnrolments(
  tx: Transaction,
  outgoing: Outgoing,
  enrolments: readonly PlacedEnrolment[],
): Promise<void> {
  await recordEnrolments(
    tx,
    enrolments.map(({ identity: { agentId }, key: { registration, connection }, certificate }) => ({
      agentId,
      identifyingAddresses: registration.identifyingAddresses,
      remoteAddress: connection.remoteAddress,
      showedCertificate: showsOwnCertificate(connection, registration),
      certificate,
    })),
  );
  // Also where only its certificate told so: the operator is told, until the approval.
  for (const { key, identity } of enrolments.filter(({ key }) => key.isReturning)) {
    const { pem: publicKey } = key.registration.publicKey;
    await rememberFormerKey(tx, { publicKey, agentId: identity.agentId, fate: "deleted" });
  }
  await insertAddressRemarks(
    tx,
    enrolments.map(({ identity: { agentId }, remarks }) => ({ agentId, remarks })),
  );
  await recordStatusChanges(tx, outgoing, enrolments.flatMap(changesOf));
  publishEvents(outgoing, "certificate.issued", () =>
    enrolments.flatMap(({ identity, key, certificate }) =>
      certificate === undefined
        ? []
        : describeCertificate(identity.organisationId, identity.agentId, key.registration.hostname, certificate),
    ),
  );
  await linkHostTags(
    tx,
    enrolments.flatMap((enrolment) => (enrolment.certificate === undefined ? [] : [tagsOf(enrolment)])),
  );
  const uses = new Map<string, number>();
  for (const { key } of enrolments) uses.set(key.token.id, (uses.get(key.token.id) ?? 0) + 1);
  // Last, because the token's row is what all registrations with it wait for.
  if (!(await takeTokenUses(tx, uses))) throw new LookAgain();
}

function changesOf(enrolment: PlacedEnrolment): AgentStatusChange[] {
  const { key, identity, hostId, certificate, from, reason, remarks } = enrolment;
  const waiting = describeWaiting(key, remarks);
  const remark = waiting === "" ? "" : `; waits for an operator: ${waiting}`;
  const registered: AgentStatusChange = { ...identity, hostId, from, to: "pending", reason: `${reason}${remark}` };
  if (certificate === undefined) return [registered];
  const reasonOfApproval = "approved by the enrolment token";
  return [registered, { ...identity, hostId, from: "pending", to: "active", reason: reasonOfApproval }];
}

function tagsOf(enrolment: PlacedEnrolment): HostTags {
  const { identity, hostId, key } = enrolment;
  const defaultTags = readTags(key.token.organisationMetadata?.defaultTags);
  const wanted = mergeTags(defaultTags, ownTagsOf(key));
  return { organisationId: identity.organisationId, hostId, wanted };
}
