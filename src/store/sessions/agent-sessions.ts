import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";

/** A session an agent holds: the epoch counts the agent's sessions, and the highest one is current. */
export interface SessionKey {
  agentId: string;
  hostId: string;
  organisationId: string;
  epoch: number;
}

/** Takes the next epoch for an agent. */
export async function openAgentSession(
  db: Queryable,
  { agentId, instanceId }: { agentId: string; instanceId: string },
): Promise<number> {
  const { rows } = await db.execute<{ epoch: string }>(sql`
    insert into ingest.agent_sessions as s (agent_id, epoch, instance_id)
    values (${agentId}, 1, ${instanceId})
    on conflict (agent_id) do update
      set epoch = s.epoch + 1, instance_id = excluded.instance_id, opened_at = now(), closed_at = null
    returning epoch`);
  return Number(rows[0]?.epoch);
}

/**
 * Marks hosts and agents offline whose session this is still the current one; the rows are locked. An agent that is
 * not active (revoked meanwhile) keeps its status.
 *
 * @returns the ids of the agents that went from active to offline
 */
export async function markSessionsOffline(tx: Transaction, sessions: readonly SessionKey[]): Promise<string[]> {
  const { rows } = await tx.execute<{ agent_id: string }>(sql`
    with ended as (
      select s.agent_id, s.epoch, w.host_id
      from unnest(
        ${sql.param(sessions.map(({ agentId }) => agentId))}::text[],
        ${sql.param(sessions.map(({ hostId }) => hostId))}::text[],
        ${sql.param(sessions.map(({ epoch }) => epoch))}::bigint[]
      ) as w(agent_id, host_id, epoch)
      join ingest.agent_sessions s on s.agent_id = w.agent_id and s.epoch = w.epoch
    ), closed as (
      update ingest.agent_sessions s set closed_at = now()
      from ended e where s.agent_id = e.agent_id and s.epoch = e.epoch
    ), offline_hosts as (
      update hosts h set status = 'offline', updated_at = now()
      from ended e where h.id = e.host_id
    )
    update agents a set status = 'offline', updated_at = now()
    from ended e
    where a.id = e.agent_id and a.status = 'active'
    returning a.id as agent_id`);
  return rows.map(({ agent_id }) => agent_id);
}
