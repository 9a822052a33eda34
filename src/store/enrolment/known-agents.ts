import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";

/** An agent whose key is on record. */
export interface KnownAgent {
  id: string;
  organisationId: string;
  hostname: string;
  publicKey: string;
  status: string;
  isDeleted: boolean;
  /** `deleted`: it had one; `missing`: the earlier service could fail between making the agent and its host. */
  hostState: "present" | "deleted" | "missing";
}

/** Does the same as {@link findKnownAgents} for one key. */
export async function findKnownAgent(db: Queryable, publicKey: string): Promise<KnownAgent | undefined> {
  const [found] = await findKnownAgents(db, [publicKey]);
  return found;
}

/**
 * The agents with these public keys (in their stored form), deleted ones included: the key is unique over all. Or else
 * the one that had it until another key claimed it, while that claim waits for approval.
 *
 * @returns in the order of the keys
 */
export async function findKnownAgents(
  db: Queryable,
  publicKeys: readonly string[],
): Promise<(KnownAgent | undefined)[]> {
  const { rows } = await db.execute<{
    asked_key: string;
    id: string;
    organisation_id: string;
    hostname: string;
    public_key: string;
    status: string;
    is_deleted: boolean;
    host_state: KnownAgent["hostState"];
  }>(sql`
    select asked_key, a.id, a.organisation_id, a.hostname, a.public_key, a.status, a.deleted_at is not null as is_deleted,
           case when exists (select from hosts h where h.agent_id = a.id and h.deleted_at is null) then 'present'
                when exists (select from hosts h where h.agent_id = a.id) then 'deleted'
                else 'missing' end as host_state
    from unnest(${sql.param([...new Set(publicKeys)])}::text[]) as asked_key
    cross join lateral (
      select * from agents where public_key = asked_key
      union all
      select agents.* from ingest.agent_adoptions join agents on agents.id = agent_id
      where previous_public_key = asked_key and status = 'pending' and deleted_at is null
    ) a`);
  const byKey = new Map<string, KnownAgent>();
  for (const row of rows) {
    const isOwn = row.public_key === row.asked_key;
    if (!isOwn && (row.host_state !== "present" || byKey.has(row.asked_key))) continue;
    byKey.set(row.asked_key, {
      id: row.id,
      organisationId: row.organisation_id,
      hostname: row.hostname,
      publicKey: row.public_key,
      status: row.status,
      isDeleted: row.is_deleted,
      hostState: row.host_state,
    });
  }
  return publicKeys.map((key) => byKey.get(key));
}

/** Deleted means gone: its key enrols anew. Only a revoked agent stays revoked when its host alone is deleted. */
export function isGone({ isDeleted, hostState, status }: KnownAgent): boolean {
  return isDeleted || (hostState === "deleted" && status !== "revoked");
}
