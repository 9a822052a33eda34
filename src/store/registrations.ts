import { eq, getTableColumns, sql } from "drizzle-orm";
import type { AgentRow } from "./agents.js";
import type { Queryable } from "./database.js";
import { agentRegistrations } from "./schema/ingest.js";
import { agents } from "./schema/platform.js";

/** An agent whose key is on record. */
export interface KnownAgent extends AgentRow {
  /** `deleted`: it had one; `missing`: the earlier service could fail between making the agent and its host. */
  hostState: "present" | "deleted" | "missing";
}

/** The agent with this public key (in its stored form), deleted ones included: the key is unique over all. */
export async function findKnownAgent(db: Queryable, publicKey: string): Promise<KnownAgent | undefined> {
  const [row] = await db
    .select({
      ...getTableColumns(agents),
      hostState: sql<KnownAgent["hostState"]>`
        case when exists (select from hosts h where h.agent_id = agents.id and h.deleted_at is null) then 'present'
             when exists (select from hosts h where h.agent_id = agents.id) then 'deleted'
             else 'missing' end`,
    })
    .from(agents)
    .where(eq(agents.publicKey, publicKey));
  return row;
}

/** Deleted means gone: its key enrols anew. Only a revoked agent stays revoked when its host alone is deleted. */
export function isGone({ deletedAt, hostState, status }: KnownAgent): boolean {
  return deletedAt !== null || (hostState === "deleted" && status !== "revoked");
}

/** Records the registration of a new agent, or of one that is revived. */
export async function insertRegistration(tx: Queryable, agentId: string): Promise<void> {
  await tx
    .insert(agentRegistrations)
    .values({ agentId })
    .onConflictDoUpdate({ target: agentRegistrations.agentId, set: { registeredAt: sql`now()` } });
}

/**
 * Records that an agent registered, if it is still the one that was looked up: the row of `agents` is locked while
 * that is decided, so that a key cannot be answered and replaced at the same moment.
 *
 * @returns false when key or status changed meanwhile, or the agent was deleted
 */
export async function recordRegistration(
  db: Queryable,
  { id, publicKey, status }: Pick<AgentRow, "id" | "publicKey" | "status">,
): Promise<boolean> {
  const result = await db.execute(sql`
    with known as (
      select id from agents
      where id = ${id} and public_key = ${publicKey} and status = ${status} and deleted_at is null
      for no key update
    )
    insert into ingest.agent_registrations (agent_id)
    select id from known
    on conflict (agent_id) do update set registered_at = now()`);
  return result.rowCount === 1;
}
