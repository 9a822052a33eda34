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

/**
 * What {@link openAgentSessions} did for one session: it has an epoch, somebody who is about to delete the agent holds its
 * row, or there is no such agent.
 */
export type OpenedSession = { epoch: number } | "busy" | "gone";

/**
 * Takes the next epochs for agents, in one statement. An agent may be named several times, and then takes as many. Rows of
 * sessions are locked in the order of their agents' ids, after the agents, which are passed over rather than waited for:
 * the web app holds an agent that it deletes.
 *
 * @returns in the order of the agents
 */
export async function openAgentSessions(
  db: Queryable,
  { agentIds, instanceId }: { agentIds: readonly string[]; instanceId: string },
): Promise<OpenedSession[]> {
  const counts = new Map<string, number>();
  for (const agentId of agentIds) counts.set(agentId, (counts.get(agentId) ?? 0) + 1);
  const ids = sql`${sql.param([...counts.keys()])}::text[]`;
  const { rows } = await db.execute<{ agent_id: string; epoch: string | null; is_present: boolean }>(sql`
    with wanted as (
      select * from unnest(${ids}, ${sql.param([...counts.values()])}::bigint[]) as w(agent_id, sessions)
    ), present as materialized (
      select id from agents where id = any(${ids}) order by id for key share skip locked
    ), opened as (
      insert into ingest.agent_sessions as s (agent_id, epoch, instance_id)
      select w.agent_id, w.sessions, ${instanceId}
      from wanted w join present p on p.id = w.agent_id
      order by w.agent_id
      on conflict (agent_id) do update
        set epoch = s.epoch + excluded.epoch, instance_id = excluded.instance_id, opened_at = now(), closed_at = null
      returning s.agent_id, s.epoch
    )
    select w.agent_id, o.epoch, a.id is not null as is_present
    from wanted w
    left join opened o on o.agent_id = w.agent_id
    left join agents a on a.id = w.agent_id`);
  const found = new Map(rows.map((row) => [row.agent_id, row]));
  return agentIds.map((agentId): OpenedSession => {
    const row = found.get(agentId);
    if (row === undefined || row.epoch === null) return row?.is_present ? "busy" : "gone";
    // Of several of one agent the last one has the highest epoch.
    const left = (counts.get(agentId) ?? 1) - 1;
    counts.set(agentId, left);
    return { epoch: Number(row.epoch) - left };
  });
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
