import { and, eq, getTableColumns, isNull, or, sql } from "drizzle-orm";
import type { AgentRow } from "./agents.js";
import type { Queryable } from "./database.js";
import { agents } from "./schema/platform.js";

/** An agent whose key is on record. */
export interface KnownAgent extends AgentRow {
  /** `deleted`: it had one; `missing`: the earlier service could fail between making the agent and its host. */
  hostState: "present" | "deleted" | "missing";
}

/**
 * The agent with this public key (in its stored form), deleted ones included: the key is unique over all. Or else the
 * one that had it until another key claimed it, while that claim waits for approval.
 */
export async function findKnownAgent(db: Queryable, publicKey: string): Promise<KnownAgent | undefined> {
  const rows = await db
    .select({
      ...getTableColumns(agents),
      hostState: sql<KnownAgent["hostState"]>`
        case when exists (select from hosts h where h.agent_id = agents.id and h.deleted_at is null) then 'present'
             when exists (select from hosts h where h.agent_id = agents.id) then 'deleted'
             else 'missing' end`,
    })
    .from(agents)
    .where(
      or(
        eq(agents.publicKey, publicKey),
        and(
          sql`${agents.id} = (select agent_id from ingest.agent_adoptions where previous_public_key = ${publicKey})`,
          eq(agents.status, "pending"),
          isNull(agents.deletedAt),
        ),
      ),
    );
  return rows.find((row) => row.publicKey === publicKey) ?? rows.find(({ hostState }) => hostState === "present");
}

/** Deleted means gone: its key enrols anew. Only a revoked agent stays revoked when its host alone is deleted. */
export function isGone({ deletedAt, hostState, status }: KnownAgent): boolean {
  return deletedAt !== null || (hostState === "deleted" && status !== "revoked");
}

/**
 * Records that an agent registered, if it is still the one that was looked up: the row of `agents` is locked while
 * that is decided, so that a key cannot be answered and replaced at the same moment. A new key that claimed an agent
 * which is no longer pending was approved: that it could be undone is forgotten.
 *
 * @returns false when key or status changed meanwhile, or the agent was deleted
 */
export async function recordRegistration(
  db: Queryable,
  { id, publicKey, status }: Pick<AgentRow, "id" | "publicKey" | "status">,
  identifyingAddresses: readonly string[],
): Promise<boolean> {
  const result = await db.execute(sql`
    with known as (
      select id from agents
      where id = ${id} and public_key = ${publicKey} and status = ${status} and deleted_at is null
      for no key update
    ), approved as (
      delete from ingest.agent_adoptions where agent_id in (select id from known) and ${status} <> 'pending'
    )
    insert into ingest.agent_registrations as r (agent_id, identifying_addresses)
    select id, ${sql.param(identifyingAddresses)}::text[] from known
    on conflict (agent_id) do update
      set registered_at = now(), identifying_addresses = excluded.identifying_addresses`);
  return result.rowCount === 1;
}
