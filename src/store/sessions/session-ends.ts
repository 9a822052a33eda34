import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";
import type { SessionKey } from "./agent-sessions.js";
import { IS_RUNNING } from "./instances.js";

/** A session whose agent is to be marked offline. */
export interface SessionEnd extends SessionKey {
  /**
   * Only if the agent has said nothing for so long, by the database's clock, or for twice its own interval where that is
   * longer; null: whenever it spoke last.
   */
  silentForMs: number | null;
  /** Its stream stays up: the agent may speak again. */
  staysOpen: boolean;
}

/** Most sessions that are found, or adopted, at a time: one statement has a few seconds. */
const MAX_AT_ONCE = 5_000;

/** When the agent `a` of session `s` was heard last. */
const LAST_HEARD = sql`greatest(s.opened_at, a.last_heartbeat_at)`;

/** How long the agent of session `s` may be silent. */
function patience(silentForMs: ReturnType<typeof sql>) {
  return sql`make_interval(secs => greatest(${silentForMs}::float8, 2 * s.interval_ms::float8) / 1000)`;
}

/**
 * Marks hosts and agents offline whose session this is still the current one; hosts and agents are locked. The rows of
 * the sessions are locked before they are looked at: in the snapshot of the statement that waits for such a row, an
 * opening on another instance that commits meanwhile would not be seen, and an agent that is connected would be marked.
 * An agent that is not active (revoked meanwhile) keeps its status.
 *
 * @returns the ids of the agents that went from active to offline
 */
export async function markSessionsOffline(tx: Transaction, ends: readonly SessionEnd[]): Promise<string[]> {
  if (ends.length === 0) return [];
  const column = <T>(of: (end: SessionEnd) => T) => sql.param(ends.map(of));
  const agentIds = sql`${column((end) => end.agentId)}::text[]`;
  await tx.execute(sql`
    select from ingest.agent_sessions where agent_id = any(${agentIds}) order by agent_id for no key update`);
  const { rows } = await tx.execute<{ agent_id: string }>(sql`
    with ended as (
      select s.agent_id, w.host_id, w.stays_open
      from unnest(
        ${agentIds}, ${column((end) => end.hostId)}::text[], ${column((end) => end.epoch)}::bigint[],
        ${column((end) => end.silentForMs)}::float8[], ${column((end) => end.staysOpen)}::boolean[]
      ) as w(agent_id, host_id, epoch, silent_ms, stays_open)
      join ingest.agent_sessions s on s.agent_id = w.agent_id and s.epoch = w.epoch
      join agents a on a.id = w.agent_id
      where w.silent_ms is null or ${LAST_HEARD} <= now() - ${patience(sql`w.silent_ms`)}
    ), closed as (
      update ingest.agent_sessions s set closed_at = now()
      from ended e where s.agent_id = e.agent_id and not e.stays_open
    ), offline_hosts as (
      update hosts h set status = 'offline', updated_at = now()
      from ended e where h.id = e.host_id and h.status is distinct from 'offline'
    )
    update agents a set status = 'offline', updated_at = now()
    from ended e
    where a.id = e.agent_id and a.status = 'active'
    returning a.id as agent_id`);
  return rows.map(({ agent_id }) => agent_id);
}

/**
 * Gives agents that are shown online, and never opened a session here, one that nobody holds: the earlier service left
 * them so, and whoever sweeps what is abandoned finds them.
 *
 * @returns how many it gave one; some thousands at a time
 */
export async function adoptForeignSessions(db: Queryable): Promise<number> {
  const { rows } = await db.execute(sql`
    insert into ingest.agent_sessions (agent_id, epoch, instance_id, opened_at)
    select distinct a.id, 0, '', coalesce(a.last_heartbeat_at, a.created_at)
    from hosts h
    join agents a on a.id = h.agent_id and a.deleted_at is null and a.status = 'active'
    where h.status = 'online' and h.deleted_at is null
      and not exists (select from ingest.agent_sessions s where s.agent_id = a.id)
    limit ${MAX_AT_ONCE}
    on conflict do nothing
    returning agent_id`);
  return rows.length;
}

/**
 * The sessions that no running instance holds and whose agents have been silent for so long, in one statement however
 * many there are.
 */
export async function findAbandonedSessions(
  db: Queryable,
  { silentForMs }: { silentForMs: number },
): Promise<SessionKey[]> {
  const { rows } = await db.execute<{ agent_id: string; host_id: string; organisation_id: string; epoch: string }>(sql`
    select s.agent_id, h.id as host_id, a.organisation_id, s.epoch
    from ingest.agent_sessions s
    join agents a on a.id = s.agent_id and a.deleted_at is null
    join hosts h on h.agent_id = a.id and h.deleted_at is null
    where s.closed_at is null
      and not exists (select from ingest.instances i where i.id = s.instance_id and ${IS_RUNNING})
      and ${LAST_HEARD} <= now() - ${patience(sql`${silentForMs}`)}
    order by s.agent_id
    limit ${MAX_AT_ONCE}`);
  return rows.map((row) => ({
    agentId: row.agent_id,
    hostId: row.host_id,
    organisationId: row.organisation_id,
    epoch: Number(row.epoch),
  }));
}
