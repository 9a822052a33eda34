import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { UNDOABLE } from "./adoptions.js";
import type { KeyFate } from "./former-keys.js";

/** An agent whose key is on record. */
export interface KnownAgent {
  id: string;
  organisationId: string;
  hostname: string;
  status: string;
  isDeleted: boolean;
  /** `deleted`: it had one; `missing`: the earlier service could fail between making the agent and its host. */
  hostState: "present" | "deleted" | "missing";
  /** Set when another key adopted the agent, and that can be undone: the key that was asked for is the one before. */
  displacement: Displacement | undefined;
}

/** How an agent's own key stands that another one displaced. */
export interface Displacement {
  /** An operator rejected the other key. */
  isRejected: boolean;
  /** The agent had a client certificate, so it has one to show. */
  hadCertificate: boolean;
}

/** What is on record of a key. */
export interface FoundKey {
  /** Deleted ones included. */
  agent: KnownAgent | undefined;
  /** Set for a key that an agent had once, and that is not to be taken for a new one. */
  former: { agentId: string; fate: KeyFate } | undefined;
}

/** Does the same as {@link findKeys} for one key. */
export async function findKey(db: Queryable, publicKey: string): Promise<FoundKey> {
  const [found] = await findKeys(db, [publicKey]);
  return found ?? { agent: undefined, former: undefined };
}

/**
 * The agents with these public keys (in their stored form): the key is unique over all, deleted ones included. Or else
 * the one that had it until another key adopted it, for as long as that can be undone.
 *
 * @returns in the order of the keys
 */
export async function findKeys(db: Queryable, publicKeys: readonly string[]): Promise<FoundKey[]> {
  const { rows } = await db.execute<{
    asked_key: string;
    id: string | null;
    organisation_id: string;
    hostname: string;
    status: string;
    is_deleted: boolean;
    host_state: KnownAgent["hostState"];
    is_displaced: boolean;
    had_certificate: boolean;
    former_agent_id: string | null;
    fate: KeyFate;
  }>(sql`
    select asked_key, a.id, a.organisation_id, a.hostname, a.status, a.deleted_at is not null as is_deleted,
           -- Not with "exists", for which all hosts would be read where PostgreSQL knows too little of the table.
           case (select bool_or(h.deleted_at is null) from hosts h where h.agent_id = a.id)
             when true then 'present' when false then 'deleted' else 'missing' end as host_state,
           a.is_displaced, a.had_certificate, f.agent_id as former_agent_id, f.fate
    from unnest(${sql.param([...new Set(publicKeys)])}::text[]) as asked_key
    left join ingest.former_keys f on f.public_key = asked_key
    left join lateral (
      select id, organisation_id, hostname, status::text as status, deleted_at, false as is_displaced,
             false as had_certificate
      from agents where public_key = asked_key
      union all
      select a.id, a.organisation_id, a.hostname, a.status::text, a.deleted_at, true,
             c.previous -> 'agent' ->> 'clientCertSerial' is not null
      from ingest.agent_adoptions c
      join agents a on a.id = c.agent_id
      join hosts h on h.id = c.host_id and h.agent_id = a.id and h.deleted_at is null
      where c.previous_public_key = asked_key and ${UNDOABLE}
    ) a on true
    order by a.is_displaced`);
  const byKey = new Map<string, FoundKey>();
  for (const row of rows) {
    // A key that an agent has is that agent's, whatever else it was before.
    if (byKey.has(row.asked_key)) continue;
    byKey.set(row.asked_key, {
      agent: row.id === null ? undefined : toKnownAgent({ ...row, id: row.id }),
      former: row.former_agent_id === null ? undefined : { agentId: row.former_agent_id, fate: row.fate },
    });
  }
  return publicKeys.map((key) => byKey.get(key) ?? { agent: undefined, former: undefined });
}

function toKnownAgent(row: {
  id: string;
  organisation_id: string;
  hostname: string;
  status: string;
  is_deleted: boolean;
  host_state: KnownAgent["hostState"];
  is_displaced: boolean;
  had_certificate: boolean;
}): KnownAgent {
  return {
    id: row.id,
    organisationId: row.organisation_id,
    hostname: row.hostname,
    status: row.status,
    isDeleted: row.is_deleted,
    hostState: row.host_state,
    displacement: row.is_displaced
      ? { isRejected: row.status === "revoked", hadCertificate: row.had_certificate }
      : undefined,
  };
}

/** Deleted means gone: its key enrols anew. Only a revoked agent stays revoked when its host alone is deleted. */
export function isGone({ isDeleted, hostState, status }: KnownAgent): boolean {
  return isDeleted || (hostState === "deleted" && status !== "revoked");
}
