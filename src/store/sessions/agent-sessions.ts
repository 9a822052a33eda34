import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { IS_RUNNING } from "./instances.js";

/** A session an agent holds: the epoch counts the agent's sessions, and the highest one is current. */
export interface SessionKey {
  agentId: string;
  hostId: string;
  organisationId: string;
  epoch: number;
}

/** What is kept of a session that opens. */
export interface SessionOpening {
  agentId: string;
  remoteAddress: string;
  hostname: string;
  /** As the agent says in its first message. */
  uptimeSeconds: number;
}

/**
 * What {@link openAgentSessions} did for one session: it has an epoch, and the agent's interval as it was learned before;
 * somebody who is about to delete the agent holds its row; or there is no such agent.
 */
export type OpenedSession = { epoch: number; intervalMs: number | null } | "busy" | "gone";

/**
 * Takes the next epochs for agents, in one statement. An agent may be named several times, and then takes as many. Rows of
 * sessions are locked in the order of their agents' ids, after the agents, which are passed over rather than waited for:
 * the web app holds an agent that it deletes. An instance that holds an earlier session is told to look; one that is gone,
 * or sends its agents away, is not.
 *
 * @returns in the order of the sessions
 */
export async function openAgentSessions(
  db: Queryable,
  { sessions, instanceId }: { sessions: readonly SessionOpening[]; instanceId: string },
): Promise<OpenedSession[]> {
  const counts = new Map<string, number>();
  for (const { agentId } of sessions) counts.set(agentId, (counts.get(agentId) ?? 0) + 1);
  // Of several of one agent the last one has the highest epoch, and stays.
  const last = [...new Map(sessions.map((session) => [session.agentId, session])).values()];
  const column = <T>(of: (session: SessionOpening) => T) => sql.param(last.map(of));
  const ids = sql`${column((s) => s.agentId)}::text[]`;
  const { rows } = await db.execute<{
    agent_id: string;
    epoch: string | null;
    interval_ms: number | null;
    is_present: boolean;
  }>(sql`
    with wanted as (
      select * from unnest(${ids}, ${column((s) => counts.get(s.agentId) ?? 1)}::bigint[],
        ${column((s) => s.remoteAddress)}::text[], ${column((s) => s.hostname)}::text[],
        ${column((s) => s.uptimeSeconds)}::int[]) as w(agent_id, sessions, remote_address, hostname, uptime_seconds)
    ), present as materialized (
      select id from agents where id = any(${ids}) order by id for key share skip locked
    ), previous as materialized (
      select agent_id, instance_id, closed_at from ingest.agent_sessions
      where agent_id in (select id from present) order by agent_id for no key update
    ), opened as (
      insert into ingest.agent_sessions as s
        (agent_id, epoch, instance_id, remote_address, hostname, uptime_seconds)
      select w.agent_id, w.sessions, ${instanceId}, w.remote_address, w.hostname, w.uptime_seconds
      from wanted w
      join present p on p.id = w.agent_id
      left join previous v on v.agent_id = w.agent_id
      order by w.agent_id
      on conflict (agent_id) do update
        set epoch = s.epoch + excluded.epoch, instance_id = excluded.instance_id, opened_at = now(), closed_at = null,
            remote_address = excluded.remote_address, hostname = excluded.hostname,
            uptime_seconds = excluded.uptime_seconds
      returning s.agent_id, s.epoch, s.interval_ms
    ), told as (
      select pg_notify('ct_ops_ingest', 'session:' || left(o.agent_id, 200))
      from opened o
      join previous v on v.agent_id = o.agent_id and v.closed_at is null and v.instance_id <> ${instanceId}
      join ingest.instances i on i.id = v.instance_id and not i.draining and ${IS_RUNNING}
    )
    select w.agent_id, o.epoch, o.interval_ms, a.id is not null as is_present, (select count(*) from told) as told
    from wanted w
    left join opened o on o.agent_id = w.agent_id
    left join agents a on a.id = w.agent_id`);
  const found = new Map(rows.map((row) => [row.agent_id, row]));
  return sessions.map(({ agentId }): OpenedSession => {
    const row = found.get(agentId);
    if (row === undefined || row.epoch === null) return row?.is_present ? "busy" : "gone";
    const left = (counts.get(agentId) ?? 1) - 1;
    counts.set(agentId, left);
    return { epoch: Number(row.epoch) - left, intervalMs: row.interval_ms };
  });
}
