import type { Outgoing } from "../outbox/outbox.js";
import { type AgentStatus, insertStatusHistory } from "../store/agents/agents.js";
import type { Transaction } from "../store/transaction.js";

/** A change of an agent's status that the transaction made. */
export interface AgentStatusChange {
  agentId: string;
  /** Null for an agent without a host. */
  hostId: string | null;
  organisationId: string;
  /** Null for an agent that is new. */
  from: AgentStatus | null;
  to: AgentStatus;
  reason: string;
}

/** Writes changes of status into the history of their agents, and publishes them: `agent.status`. */
export async function recordStatusChanges(
  tx: Transaction,
  outgoing: Outgoing,
  changes: readonly AgentStatusChange[],
): Promise<void> {
  const lines = await insertStatusHistory(
    tx,
    changes.map(({ agentId, organisationId, to, reason }) => ({ agentId, organisationId, status: to, reason })),
  );
  outgoing.publish("agent.status", () =>
    changes.flatMap(({ agentId, hostId, organisationId, from, to, reason }, index) => {
      const line = lines[index];
      if (line === undefined) return [];
      return {
        message_id: line.id,
        agent_id: agentId,
        host_id: hostId,
        org_id: organisationId,
        from,
        to,
        reason,
        at: line.createdAt.toISOString(),
      };
    }),
  );
}
