import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { UNDOABLE } from "./adoptions.js";

/** How long an agent that said something is taken to be there. */
export const PRESENCE_S = 90;

/** A host, not deleted, as a new key that may take it over is decided about; of an agent with two hosts, the one that counts. */
export interface HostState {
  hostId: string;
  hostname: string;
  /** unknown, online, offline */
  status: string;
  createdAt: Date;
  /**
   * A heartbeat or a session of it, also one that is closed, is less than {@link PRESENCE_S} old, whichever instance that
   * was on: a connection that breaks is no machine that is gone.
   */
  wasHere: boolean;
  /** Undefined when it has none, or that is deleted. */
  agent: HostAgent | undefined;
}

/** The agent of a {@link HostState}. */
export interface HostAgent {
  id: string;
  status: string;
  /** Its session is not closed, and it said something less than {@link PRESENCE_S} ago. */
  isStreaming: boolean;
  /** It registered less than {@link PRESENCE_S} ago. */
  hasJustRegistered: boolean;
  /** A new key has adopted it and waits for approval. */
  isAdopted: boolean;
}

/** The columns of {@link HostStateRow} but for the hostname, where {@link HOST_STATE_JOINS} follows `from hosts h`. */
export const HOST_STATE_COLUMNS = sql`
  own.id, own.status, own.created_at, a.id as agent_id, a.status as agent_status,
  coalesce(s.agent_id is not null and s.closed_at is null
    and greatest(s.opened_at, a.last_heartbeat_at) > now() - make_interval(secs => ${PRESENCE_S}), false)
    as is_streaming,
  coalesce(greatest(s.opened_at, s.closed_at, a.last_heartbeat_at, h.last_seen_at, own.last_seen_at)
    > now() - make_interval(secs => ${PRESENCE_S}), false) as was_here,
  coalesce(r.registered_at > now() - make_interval(secs => ${PRESENCE_S}), false)
    as has_just_registered,
  c.agent_id is not null as is_adopted`;

/** What the state of a host `h` is read from. */
export const HOST_STATE_JOINS = sql`
  left join agents a on a.id = h.agent_id and a.deleted_at is null
  join hosts own on own.id = coalesce((
    select id from hosts where agent_id = a.id and deleted_at is null order by created_at, id limit 1), h.id)
  left join ingest.agent_sessions s on s.agent_id = a.id
  left join ingest.agent_registrations r on r.agent_id = a.id
  left join ingest.agent_adoptions c on c.agent_id = a.id and ${UNDOABLE}`;

/** A row of {@link HOST_STATE_COLUMNS} and the hostname. */
export interface HostStateRow extends Record<string, unknown> {
  id: string;
  hostname: string;
  status: string;
  created_at: string;
  agent_id: string | null;
  agent_status: string;
  was_here: boolean;
  is_streaming: boolean;
  has_just_registered: boolean;
  is_adopted: boolean;
}

/** The state in a row. */
export function toHostState(row: HostStateRow): HostState {
  return {
    hostId: row.id,
    hostname: row.hostname,
    status: row.status,
    createdAt: new Date(row.created_at),
    wasHere: row.was_here,
    agent:
      row.agent_id === null
        ? undefined
        : {
            id: row.agent_id,
            status: row.agent_status,
            isStreaming: row.is_streaming,
            hasJustRegistered: row.has_just_registered,
            isAdopted: row.is_adopted,
          },
  };
}

/** The state of one host; undefined when it is deleted. */
export async function findHostState(db: Queryable, hostId: string): Promise<HostState | undefined> {
  const { rows } = await db.execute<HostStateRow>(sql`
    select h.hostname, ${HOST_STATE_COLUMNS} from hosts h ${HOST_STATE_JOINS}
    where h.id = ${hostId} and h.deleted_at is null`);
  return rows[0] && toHostState(rows[0]);
}
