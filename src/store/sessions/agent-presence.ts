import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { ContestPeer } from "../schema/ingest/contested-agents.js";
import { IS_RUNNING } from "./instances.js";

/** The newest session of an agent, and whether more than one machine may have the agent's identity. */
export interface AgentPresence {
  session: {
    epoch: number;
    instanceId: string;
    /** The machine and port of the instance; null when it is gone. */
    instanceAddress: string | null;
    openedAt: Date;
    closedAt: Date | null;
    /** A running instance holds it. */
    isHeld: boolean;
    remoteAddress: string | null;
    /** Between two regular messages, as learned. */
    intervalMs: number | null;
  };
  suspectedClone: {
    since: Date;
    lastDisplacedAt: Date;
    /** The one that was displaced last, and the one in its place. */
    peers: ContestPeer[];
    /** Since when neither is let in. */
    lockedAt: Date | null;
  } | null;
}

/** The presence of those of these agents that ever opened a session, by agent id. */
export async function findPresences(db: Queryable, agentIds: readonly string[]): Promise<Map<string, AgentPresence>> {
  const { rows } = await db.execute<{
    agent_id: string;
    epoch: string;
    instance_id: string;
    address: string | null;
    is_running: boolean | null;
    opened_at: string;
    closed_at: string | null;
    remote_address: string | null;
    interval_ms: number | null;
    suspected_at: string | null;
    last_at: string;
    peers: ContestPeer[];
    locked_at: string | null;
  }>(sql`
    select s.*, i.address, ${IS_RUNNING} as is_running, c.suspected_at, c.last_at, c.peers, c.locked_at
    from ingest.agent_sessions s
    left join ingest.instances i on i.id = s.instance_id
    left join ingest.contested_agents c on c.agent_id = s.agent_id
      and (c.locked_at is not null or c.last_at > now() - interval '1 day')
    where s.agent_id = any(${sql.param([...agentIds])}::text[])`);
  return new Map(
    rows.map((row): [string, AgentPresence] => [
      row.agent_id,
      {
        session: {
          epoch: Number(row.epoch),
          instanceId: row.instance_id,
          instanceAddress: row.address,
          openedAt: new Date(row.opened_at),
          closedAt: row.closed_at === null ? null : new Date(row.closed_at),
          isHeld: row.closed_at === null && row.is_running === true,
          remoteAddress: row.remote_address,
          intervalMs: row.interval_ms,
        },
        suspectedClone:
          row.suspected_at === null
            ? null
            : {
                since: new Date(row.suspected_at),
                lastDisplacedAt: new Date(row.last_at),
                peers: row.peers,
                lockedAt: row.locked_at === null ? null : new Date(row.locked_at),
              },
      },
    ]),
  );
}
