import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { AgentStatus } from "./agents.js";

/** Most events of each kind that are read at a time, the newest. */
const MAX_EVENTS = 200;

/** Something that happened to an agent, or to a caller that may be one. */
export interface AgentEvent {
  at: Date;
  /** `registered`: it is new; `came`, `went`: its stream; `pending`, `revoked`: its status; `refused`: a call. */
  kind: "registered" | "came" | "went" | "pending" | "revoked" | "refused";
  /** Undefined of a caller that nobody can name. */
  agentId: string | undefined;
  /** Undefined where it is not known; of a refusal what the caller said. */
  hostname: string | undefined;
  /** Where from, and of a refusal which call and why. */
  detail: string;
}

/** What agents did lately. */
export interface AgentActivity {
  /** By the database's clock. */
  now: Date;
  agents: Record<AgentStatus, number>;
  /** Agents whose last heartbeat came after the time that was asked about. */
  heartbeats: number;
  events: AgentEvent[];
}

/**
 * What happened after a time, in one statement. It reads agents and sessions once, and nothing of history or metrics, which
 * grow.
 *
 * @param since undefined for nothing but how things stand
 */
export async function readAgentActivity(db: Queryable, since: Date | undefined): Promise<AgentActivity> {
  const from = sql`${since?.toISOString() ?? "infinity"}::timestamptz`;
  const { rows } = await db.execute<{
    now: string;
    agents: Partial<Record<AgentStatus, number>>;
    heartbeats: number;
    events: {
      at: string;
      kind: AgentEvent["kind"];
      agent_id: string | null;
      hostname: string | null;
      detail: string;
    }[];
  }>(sql`
    with known as materialized (
      select a.id, a.hostname, a.status::text as status, a.created_at, a.updated_at, a.last_heartbeat_at,
             s.opened_at, s.closed_at, s.remote_address
      from agents a left join ingest.agent_sessions s on s.agent_id = a.id
      where a.deleted_at is null
    ), events as (
      (select created_at as at, 'registered' as kind, id as agent_id, hostname, status as detail
       from known where created_at > ${from} order by created_at desc limit ${MAX_EVENTS})
      union all
      (select opened_at, 'came', id, hostname, coalesce('from ' || remote_address, '')
       from known where opened_at > ${from} order by opened_at desc limit ${MAX_EVENTS})
      union all
      (select closed_at, 'went', id, hostname, status
       from known where closed_at > ${from} order by closed_at desc limit ${MAX_EVENTS})
      union all
      (select updated_at, status, id, hostname, ''
       from known where status in ('pending', 'revoked') and updated_at > ${from} and created_at < updated_at
       order by updated_at desc limit ${MAX_EVENTS})
      union all
      (select r.refused_at, 'refused', coalesce(r.agent_id, k.id), coalesce(k.hostname, r.hostname),
              r.method || ' from ' || r.remote_address || ': ' || r.reason
       from ingest.refusals r left join agents k on k.id = r.agent_id or k.public_key = r.public_key
       where r.refused_at > ${from} order by r.refused_at desc limit ${MAX_EVENTS})
    )
    select now() as now,
           (select coalesce(jsonb_object_agg(status, n), '{}') from (select status, count(*)::int n from known group by 1) c)
             as agents,
           (select count(*)::int from known where last_heartbeat_at > ${from}) as heartbeats,
           (select coalesce(json_agg(e order by e.at, e.kind, e.agent_id), '[]') from events e) as events`);
  const [{ now, agents, heartbeats, events } = { now: 0, agents: {}, heartbeats: 0, events: [] }] = rows;
  return {
    now: new Date(now),
    agents: { pending: 0, active: 0, offline: 0, revoked: 0, ...agents },
    heartbeats,
    events: events.map(({ at, kind, agent_id, hostname, detail }) => ({
      at: new Date(at),
      kind,
      agentId: agent_id ?? undefined,
      hostname: hostname ?? undefined,
      detail,
    })),
  };
}
