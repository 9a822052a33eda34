import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { ContestPeer } from "../schema/ingest/contested-agents.js";
import type { Transaction } from "../transaction.js";

/** Live sessions of an agent that newer ones took the place of. */
export interface Displacement {
  agentId: string;
  /** The last of them. */
  displaced: ContestPeer;
  /** How many there were. */
  times: number;
}

/** When displacements are more than one machine that reconnects explains. */
export interface ContestPolicy {
  /** Each follows the one before it within this many seconds. */
  withinS: number;
  /** So many of them. */
  displacements: number;
  /** Whether neither machine is let in then. */
  locks: boolean;
}

/** An agent that is suspected from now on. */
export interface Suspicion {
  agentId: string;
  displacements: number;
  /** The one that was displaced last, and the one in its place. */
  peers: ContestPeer[];
  isLocked: boolean;
}

/** A suspicion is told again after so long. */
const TOLD_AGAIN_AFTER_S = 60 * 60;

/**
 * Counts displacements, in one statement; hosts and agents are locked, and no agent is named twice.
 *
 * @returns those that are suspected from now on
 */
export async function countDisplacements(
  tx: Transaction,
  displacements: readonly Displacement[],
  { withinS, displacements: limit, locks }: ContestPolicy,
): Promise<Suspicion[]> {
  const { rows } = await tx.execute<{
    agent_id: string;
    displacements: number;
    peers: ContestPeer[];
    is_new: boolean;
    locked: boolean;
  }>(sql`
    with counted as (
      insert into ingest.contested_agents as c (agent_id, displacements, last_at, peers)
      select w.agent_id, w.times, clock_timestamp(), jsonb_build_array(w.displaced::jsonb, jsonb_build_object(
        'remoteAddress', s.remote_address, 'hostname', s.hostname, 'uptimeSeconds', s.uptime_seconds))
      from unnest(${sql.param(displacements.map(({ agentId }) => agentId))}::text[],
        ${sql.param(displacements.map(({ displaced }) => JSON.stringify(displaced)))}::text[],
        ${sql.param(displacements.map(({ times }) => times))}::int[]) as w(agent_id, displaced, times)
      join ingest.agent_sessions s on s.agent_id = w.agent_id
      order by w.agent_id
      on conflict (agent_id) do update
        set displacements = case
              when c.last_at > excluded.last_at - make_interval(secs => ${withinS})
                then c.displacements + excluded.displacements
              else excluded.displacements end,
            last_at = excluded.last_at, peers = excluded.peers
      returning c.agent_id, c.displacements, c.peers, c.locked_at,
        c.suspected_at is null or c.suspected_at < now() - make_interval(secs => ${TOLD_AGAIN_AFTER_S})
          or (${locks} and c.locked_at is null) as is_new
    )
    select agent_id, displacements, peers, is_new, locked_at is not null as locked
    from counted where displacements >= ${limit} and is_new`);
  const suspected = rows.map(({ agent_id }) => agent_id);
  if (suspected.length > 0) {
    await tx.execute(sql`
      update ingest.contested_agents
      set suspected_at = now(), locked_at = case when ${locks} then coalesce(locked_at, now()) else locked_at end
      where agent_id = any(${sql.param(suspected)}::text[])`);
  }
  // Both streams are to end, wherever they are.
  if (locks && suspected.length > 0) {
    await tx.execute(sql`
      select pg_notify('ct_ops_ingest', 'session:' || left(id, 200))
      from unnest(${sql.param(suspected)}::text[]) as w(id)`);
  }
  return rows.map((row) => ({
    agentId: row.agent_id,
    displacements: row.displacements,
    peers: row.peers,
    isLocked: locks || row.locked,
  }));
}

/**
 * Lets an agent in again, and forgets the suspicion.
 *
 * @returns whether there was one
 */
export async function endContest(tx: Transaction, agentId: string): Promise<boolean> {
  const { rows } = await tx.execute(sql`
    delete from ingest.contested_agents where agent_id = ${agentId} and (suspected_at is not null or locked_at is not null)
    returning agent_id`);
  return rows.length > 0;
}

/** Forgets agents that have not been contested for a day and are not locked. */
export async function forgetOldContests(db: Queryable): Promise<void> {
  await db.execute(sql`
    delete from ingest.contested_agents where locked_at is null and last_at <= now() - interval '1 day'`);
}
