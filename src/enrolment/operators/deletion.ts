import { IngestError } from "../../errors.js";
import { createId } from "../../lib/ids.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import {
  deleteAgentRow,
  deleteHost,
  deleteMetricsChunk,
  lockAgentForDeletion,
  lockHostsForDeletion,
} from "../../store/agents/agent-deletion.js";
import type { AgentRow } from "../../store/agents/agents.js";
import { revokeClientCertificates } from "../../store/identity/client-certificates.js";
import { describeAgent } from "./describe-agent.js";
import { type OperatorAct, reasonOf } from "./operator-act.js";

/** Deleting months of metrics takes its time; locks are not waited for any longer than elsewhere. */
const LIMITS = { statementTimeoutMs: 60 * 60 * 1000 };

/**
 * Deletes an agent for good, as the web app deletes a host: its host, everything that hangs on either, and at last
 * itself, all or nothing. Its certificates are revoked. Heartbeats of other agents do not wait for it: they pass over
 * rows that are locked.
 *
 * @param onProgress told of the metrics deleted so far
 * @throws IngestError `operation_refused`
 */
export async function deleteAgent(
  { database, outbox }: PublishingDatabase,
  agentId: string,
  onProgress: (deletedMetrics: number) => void = () => {},
  act?: OperatorAct,
): Promise<AgentRow> {
  const reason = reasonOf("agent deleted by an operator", act);
  return outbox.transaction(
    database,
    async (tx, outgoing) => {
      let deletedMetrics = 0;
      const hosts = await lockHostsForDeletion(tx, agentId);
      for (const host of hosts) {
        for (let done = false; !done; onProgress(deletedMetrics)) {
          const chunk = await deleteMetricsChunk(tx, host);
          deletedMetrics += chunk.deleted;
          done = chunk.done;
        }
      }
      // Hosts, agents, tags, as everywhere; and the agent after the metrics: until then it can be answered.
      const agent = await lockAgentForDeletion(tx, agentId);
      if (agent === undefined) throw new IngestError("operation_refused", `no agent has the id ${agentId}`);
      for (const host of hosts) await deleteHost(tx, host);
      await revokeClientCertificates(tx, agentId, reason);
      await deleteAgentRow(tx, agentId);
      // Its history is gone with it: the message has no line there.
      outgoing.publish("agent.status", () => [
        {
          message_id: createId(),
          agent_id: agentId,
          host_id: hosts[0]?.id ?? null,
          org_id: agent.organisationId,
          from: agent.status,
          to: "deleted",
          reason,
          at: new Date().toISOString(),
        },
      ]);
      publishEvents(outgoing, "agent.deleted", () => [describeAgent(agent)]);
      return agent;
    },
    LIMITS,
  );
}
