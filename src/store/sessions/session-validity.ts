import { sql } from "drizzle-orm";
import { isCallingStatus } from "../agents/calling-statuses.js";
import type { Queryable } from "../database.js";

/** What a session was opened with, to be compared with what is on record. */
export interface SessionCredentials {
  agentId: string;
  organisationId: string;
  hostId: string;
  /** In the form of `agents.public_key`. */
  publicKey: string;
  /** Serial of the client certificate. */
  serial: string;
  /** 0 for one that has none yet. */
  epoch: number;
}

/** What changed of a session's agent since the session was opened. */
export interface DoubtfulSession {
  /** Where it stands in the sessions that were asked about. */
  index: number;
  /** The agent's status; null when it, or its host, is deleted. */
  status: string | null;
  organisationAgrees: boolean;
  keyAgrees: boolean;
  certificateRevoked: boolean;
  /** Nobody is let in with the agent's identity for now. */
  isLocked: boolean;
  /** The agent opened a newer session, on whatever instance. */
  isDisplaced: boolean;
}

/** Of these sessions those that something speaks against, in one statement however many there are. */
export async function findDoubtfulSessions(
  db: Queryable,
  sessions: readonly SessionCredentials[],
): Promise<DoubtfulSession[]> {
  const column = (of: (session: SessionCredentials) => string) => sql`${sql.param(sessions.map(of))}::text[]`;
  const { rows } = await db.execute<{
    index: string;
    status: string | null;
    organisation_agrees: boolean | null;
    key_agrees: boolean | null;
    certificate_revoked: boolean;
    is_displaced: boolean;
    is_locked: boolean;
  }>(sql`
    select w.index,
           case when h.id is not null then a.status::text end as status,
           a.organisation_id = w.organisation_id as organisation_agrees,
           a.public_key = w.public_key as key_agrees,
           r.serial is not null as certificate_revoked,
           coalesce(s.epoch > w.epoch, false) as is_displaced,
           l.locked_at is not null as is_locked
    from unnest(
      ${column((s) => s.agentId)}, ${column((s) => s.organisationId)}, ${column((s) => s.hostId)},
      ${column((s) => s.publicKey)}, ${column((s) => s.serial)},
      ${sql.param(sessions.map(({ epoch }) => epoch || null))}::bigint[]
    ) with ordinality as w(agent_id, organisation_id, host_id, public_key, serial, epoch, index)
    left join agents a on a.id = w.agent_id and a.deleted_at is null
    left join hosts h on h.id = w.host_id and h.agent_id = a.id and h.deleted_at is null
    left join revoked_certificates r on r.serial = w.serial
    left join ingest.agent_sessions s on s.agent_id = w.agent_id
    left join ingest.contested_agents l on l.agent_id = w.agent_id
    where h.id is null
       or not ${isCallingStatus(sql`a.status::text`)}
       or a.organisation_id <> w.organisation_id
       or a.public_key <> w.public_key
       or r.serial is not null
       or s.epoch > w.epoch
       or l.locked_at is not null`);
  return rows.map((row) => ({
    // ordinality counts from 1
    index: Number(row.index) - 1,
    status: row.status,
    organisationAgrees: row.organisation_agrees ?? false,
    keyAgrees: row.key_agrees ?? false,
    certificateRevoked: row.certificate_revoked,
    isDisplaced: row.is_displaced,
    isLocked: row.is_locked,
  }));
}
