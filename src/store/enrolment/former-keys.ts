import { and, eq, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { formerKeys } from "../schema/ingest/index.js";
import { agents } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

/** What is kept of the keys of deleted agents. */
const KEPT_FOR = "1 year";
const KEPT = 200_000;

/** Why a key is remembered that no agent has any more. */
export type KeyFate = "rejected" | "deleted";

/** Remembers that a key was turned away, or that its agent was deleted. */
export async function rememberFormerKey(
  tx: Transaction,
  key: { publicKey: string; agentId: string; fate: KeyFate },
): Promise<void> {
  const { agentId, fate } = key;
  await tx
    .insert(formerKeys)
    .values(key)
    .onConflictDoUpdate({ target: formerKeys.publicKey, set: { agentId, fate, since: sql`now()` } });
}

/** Forgets that the agent of a key was deleted: an operator has approved that it came back. */
export async function forgetDeletedKey(tx: Transaction, publicKey: string): Promise<void> {
  await tx.delete(formerKeys).where(and(eq(formerKeys.publicKey, publicKey), eq(formerKeys.fate, "deleted")));
}

/**
 * Forgets the keys of agents that were deleted more than a year ago, and all but the newest 200,000 of them. Those that an
 * operator turned away stay. Of instances that do so at once one does it and the others pass.
 */
export async function forgetOldKeys(db: Queryable): Promise<void> {
  await db.execute(sql`
    with turn as materialized (
      select pg_try_advisory_xact_lock(hashtextextended('ct-ops-ingest/forget-old-keys', 0)) as mine
    ), excess as materialized (
      select public_key from ingest.former_keys
      where fate = 'deleted' and since < now() - ${KEPT_FOR}::interval
      union
      (select public_key from ingest.former_keys where fate = 'deleted' order by since desc offset ${KEPT})
    ), free as materialized (
      select public_key from ingest.former_keys
      where public_key = any(array(select public_key from excess, turn where turn.mine))
      for update skip locked
    )
    delete from ingest.former_keys where public_key = any(array(select public_key from free))`);
}

/** When the earlier agents with the keys of these ones, which wait for approval, were deleted, by the ids of these ones. */
export async function listReturnedAgents(db: Queryable, agentIds: readonly string[]): Promise<Map<string, Date>> {
  const rows = await db
    .select({ id: agents.id, since: formerKeys.since })
    .from(agents)
    .innerJoin(formerKeys, and(eq(formerKeys.publicKey, agents.publicKey), eq(formerKeys.fate, "deleted")))
    .where(and(eq(agents.id, sql`any(${sql.param([...agentIds])}::text[])`), eq(agents.status, "pending")));
  return new Map(rows.map(({ id, since }) => [id, since]));
}
