import { IngestError } from "../../errors.js";
import { recordStatusChanges } from "../../identity/status-changes.js";
import type { Outgoing, PublishingDatabase } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import { type AgentRow, type AgentStatus, changeAgentStatus, findAgent } from "../../store/agents/agents.js";
import { CALLING_STATUSES } from "../../store/agents/calling-statuses.js";
import { forgetAdoption, isAdopted } from "../../store/enrolment/adoptions.js";
import { forgetDeletedKey } from "../../store/enrolment/former-keys.js";
import { findOrganisation } from "../../store/enrolment/organisations.js";
import { clearPendingTags, lockHostOfAgent } from "../../store/hosts/hosts.js";
import { linkHostTags } from "../../store/hosts/tags.js";
import { revokeClientCertificates } from "../../store/identity/client-certificates.js";
import { deletePendingCertSignings } from "../../store/identity/pending-cert-signings.js";
import type { Transaction } from "../../store/transaction.js";
import { mergeTags, readTags } from "../tags.js";
import { describeAgent } from "./describe-agent.js";
import { type OperatorAct, reasonOf } from "./operator-act.js";

/**
 * Approves a pending agent: its next poll is answered with an identity. The tags that waited are linked to its host.
 *
 * @throws IngestError `operation_refused`
 */
export async function approveAgent(
  { database, outbox }: PublishingDatabase,
  agentId: string,
  act?: OperatorAct,
): Promise<AgentRow> {
  return outbox.transaction(database, async (tx, outgoing) => {
    // Rows are locked hosts before agents, everywhere.
    const host = await lockHostOfAgent(tx, agentId);
    const reason = reasonOf("approved by an operator", act);
    const change = { from: ["pending"], to: "active", approved: true, reason } as const;
    const agent = await changeStatus(tx, outgoing, { agentId, hostId: host?.id }, change);
    if (agent === undefined) throw await refusal(tx, agentId, "approved");
    await forgetAdoption(tx, agentId);
    await forgetDeletedKey(tx, agent.publicKey);
    const { organisationId } = agent;
    await deletePendingCertSignings(tx, agentId);
    if (host !== undefined) {
      const organisation = await findOrganisation(tx, organisationId);
      const wanted = mergeTags(readTags(organisation?.metadata?.defaultTags), readTags(host.pendingTags));
      await clearPendingTags(tx, host.id);
      await linkHostTags(tx, [{ organisationId, hostId: host.id, wanted }]);
    }
    publishEvents(outgoing, "agent.approved", () => [describeAgent(agent)]);
    return agent;
  });
}

const REVOCABLE: readonly AgentStatus[] = ["pending", ...CALLING_STATUSES];

/**
 * Turns a pending agent away. Where a new key waits for a host that it adopted, that key alone: the agent's own key, and
 * its certificates, stay good, and its next registration takes all back. Otherwise the agent is revoked.
 *
 * @throws IngestError `operation_refused`
 */
export async function rejectAgent(
  { database, outbox }: PublishingDatabase,
  agentId: string,
  why: string,
  act?: OperatorAct,
): Promise<AgentRow> {
  const reason = reasonOf(why, act);
  return outbox.transaction(database, async (tx, outgoing) => {
    const host = await lockHostOfAgent(tx, agentId);
    const change = { from: ["pending"], to: "revoked", reason } as const;
    const agent = await changeStatus(tx, outgoing, { agentId, hostId: host?.id }, change);
    if (agent === undefined) throw await refusal(tx, agentId, "rejected");
    if (!(await isAdopted(tx, agentId))) await revokeClientCertificates(tx, agentId, reason);
    publishEvents(outgoing, "agent.rejected", () => [{ ...describeAgent(agent), reason }]);
    return agent;
  });
}

/**
 * Revokes an agent for good, whichever key it has, and every client certificate of it that has not expired.
 *
 * @throws IngestError `operation_refused`
 */
export async function revokeAgent(
  { database, outbox }: PublishingDatabase,
  agentId: string,
  why: string,
  act?: OperatorAct,
): Promise<AgentRow> {
  const reason = reasonOf(why, act);
  return outbox.transaction(database, async (tx, outgoing) => {
    const host = await lockHostOfAgent(tx, agentId);
    const change = { from: REVOCABLE, to: "revoked", reason } as const;
    const agent = await changeStatus(tx, outgoing, { agentId, hostId: host?.id }, change);
    if (agent === undefined) throw await refusal(tx, agentId, "revoked");
    await forgetAdoption(tx, agentId);
    await deletePendingCertSignings(tx, agentId);
    await revokeClientCertificates(tx, agentId, reason);
    publishEvents(outgoing, "agent.revoked", () => [{ ...describeAgent(agent), reason }]);
    return agent;
  });
}

/**
 * Takes a revocation back: the agent is pending again, and its next poll after an approval is answered with a new
 * certificate. The serials that were revoked stay so.
 *
 * @throws IngestError `operation_refused`
 */
export async function unrevokeAgent(
  { database, outbox }: PublishingDatabase,
  agentId: string,
  act?: OperatorAct,
): Promise<AgentRow> {
  return outbox.transaction(database, async (tx, outgoing) => {
    const host = await lockHostOfAgent(tx, agentId);
    const change = { from: ["revoked"], to: "pending", reason: reasonOf("unrevoked by an operator", act) } as const;
    const agent = await changeStatus(tx, outgoing, { agentId, hostId: host?.id }, change);
    if (agent === undefined) throw await refusal(tx, agentId, "unrevoked");
    publishEvents(outgoing, "agent.unrevoked", () => [describeAgent(agent)]);
    return agent;
  });
}

/** Moves an agent to another state, with its line in the history; undefined when it is in none of the states. */
async function changeStatus(
  tx: Transaction,
  outgoing: Outgoing,
  { agentId, hostId }: { agentId: string; hostId: string | undefined },
  change: { from: readonly AgentStatus[]; to: AgentStatus; approved?: boolean; reason: string },
): Promise<AgentRow | undefined> {
  const changed = await changeAgentStatus(tx, agentId, change);
  if (changed === undefined) return undefined;
  const { agent, before } = changed;
  const { to, reason } = change;
  const { organisationId } = agent;
  await recordStatusChanges(tx, outgoing, [
    { agentId, hostId: hostId ?? null, organisationId, from: before, to, reason },
  ]);
  return agent;
}

/** Why an agent cannot be dealt with so: it does not exist, or its status forbids it. */
export async function refusal(tx: Transaction, agentId: string, verb: string): Promise<IngestError> {
  const agent = await findAgent(tx, agentId);
  return new IngestError(
    "operation_refused",
    agent === undefined
      ? `no agent has the id ${agentId}`
      : `agent ${agentId} (${agent.hostname}) is ${agent.status} and cannot be ${verb}`,
  );
}
