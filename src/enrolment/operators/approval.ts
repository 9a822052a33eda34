import { IngestError } from "../../errors.js";
import {
  type AgentRow,
  type AgentStatus,
  changeAgentStatus,
  findAgent,
  insertStatusHistory,
} from "../../store/agents/agents.js";
import { CALLING_STATUSES } from "../../store/agents/calling-statuses.js";
import type { Database } from "../../store/database.js";
import { forgetAdoption, isAdopted } from "../../store/enrolment/adoptions.js";
import { findOrganisation } from "../../store/enrolment/organisations.js";
import { clearPendingTags, lockHostOfAgent } from "../../store/hosts/hosts.js";
import { linkHostTags } from "../../store/hosts/tags.js";
import { revokeClientCertificates } from "../../store/identity/client-certificates.js";
import { deletePendingCertSignings } from "../../store/identity/pending-cert-signings.js";
import type { Transaction } from "../../store/transaction.js";
import { mergeTags, readTags } from "../tags.js";

/**
 * Approves a pending agent: its next poll is answered with an identity. The tags that waited are linked to its host.
 *
 * @throws IngestError `operation_refused`
 */
export async function approveAgent(database: Database, agentId: string): Promise<AgentRow> {
  return database.transaction(async (tx) => {
    // Rows are locked hosts before agents, everywhere.
    const host = await lockHostOfAgent(tx, agentId);
    const agent = await changeAgentStatus(tx, agentId, { from: ["pending"], to: "active", approved: true });
    if (agent === undefined) throw await refusal(tx, agentId, "approved");
    await forgetAdoption(tx, agentId);
    const { organisationId } = agent;
    await insertStatusHistory(tx, [{ agentId, organisationId, status: "active", reason: "approved by an operator" }]);
    await deletePendingCertSignings(tx, agentId);
    if (host !== undefined) {
      const organisation = await findOrganisation(tx, organisationId);
      const wanted = mergeTags(readTags(organisation?.metadata?.defaultTags), readTags(host.pendingTags));
      await clearPendingTags(tx, host.id);
      await linkHostTags(tx, [{ organisationId, hostId: host.id, wanted }]);
    }
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
export async function rejectAgent(database: Database, agentId: string, reason: string): Promise<AgentRow> {
  return database.transaction(async (tx) => {
    await lockHostOfAgent(tx, agentId);
    const agent = await changeAgentStatus(tx, agentId, { from: ["pending"], to: "revoked" });
    if (agent === undefined) throw await refusal(tx, agentId, "rejected");
    if (!(await isAdopted(tx, agentId))) await revokeClientCertificates(tx, agentId, reason);
    await insertStatusHistory(tx, [{ agentId, organisationId: agent.organisationId, status: "revoked", reason }]);
    return agent;
  });
}

/**
 * Revokes an agent for good, whichever key it has, and every client certificate of it that has not expired.
 *
 * @throws IngestError `operation_refused`
 */
export async function revokeAgent(database: Database, agentId: string, reason: string): Promise<AgentRow> {
  return database.transaction(async (tx) => {
    await lockHostOfAgent(tx, agentId);
    const agent = await changeAgentStatus(tx, agentId, { from: REVOCABLE, to: "revoked" });
    if (agent === undefined) throw await refusal(tx, agentId, "revoked");
    await forgetAdoption(tx, agentId);
    await deletePendingCertSignings(tx, agentId);
    await revokeClientCertificates(tx, agentId, reason);
    await insertStatusHistory(tx, [{ agentId, organisationId: agent.organisationId, status: "revoked", reason }]);
    return agent;
  });
}

/**
 * Takes a revocation back: the agent is pending again, and its next poll after an approval is answered with a new
 * certificate. The serials that were revoked stay so.
 *
 * @throws IngestError `operation_refused`
 */
export async function unrevokeAgent(database: Database, agentId: string): Promise<AgentRow> {
  return database.transaction(async (tx) => {
    await lockHostOfAgent(tx, agentId);
    const agent = await changeAgentStatus(tx, agentId, { from: ["revoked"], to: "pending" });
    if (agent === undefined) throw await refusal(tx, agentId, "unrevoked");
    const { organisationId } = agent;
    await insertStatusHistory(tx, [{ agentId, organisationId, status: "pending", reason: "unrevoked by an operator" }]);
    return agent;
  });
}

async function refusal(tx: Transaction, agentId: string, verb: string): Promise<IngestError> {
  const agent = await findAgent(tx, agentId);
  return new IngestError(
    "operation_refused",
    agent === undefined
      ? `no agent has the id ${agentId}`
      : `agent ${agentId} (${agent.hostname}) is ${agent.status} and cannot be ${verb}`,
  );
}
