import { desc, eq, or, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { refusals } from "../schema/ingest/index.js";

/** What is kept, at least until the next {@link pruneRefusals}. */
const KEPT_ROWS = 10_000;
const KEPT_FOR = "7 days";

/** A refusal as it is kept. */
export type RefusalRow = typeof refusals.$inferSelect;

/** Stores refusals, in one statement. */
export async function insertRefusals(db: Queryable, rows: readonly RefusalRow[]): Promise<void> {
  const column = (of: (row: RefusalRow) => string | Date | null) => sql.param(rows.map(of));
  await db.execute(sql`
    insert into ingest.refusals
      (id, refused_at, method, reason, message, agent_id, public_key, hostname, remote_address)
    select * from unnest(
      ${column((r) => r.id)}::text[], ${column((r) => r.refusedAt)}::timestamptz[], ${column((r) => r.method)}::text[],
      ${column((r) => r.reason)}::text[], ${column((r) => r.message)}::text[], ${column((r) => r.agentId)}::text[],
      ${column((r) => r.publicKey)}::text[], ${column((r) => r.hostname)}::text[],
      ${column((r) => r.remoteAddress)}::text[])
    on conflict do nothing`);
}

/**
 * Deletes what is older than seven days, and all but the newest 10,000. Of instances that do so at once one does it
 * and the others pass.
 */
export async function pruneRefusals(db: Queryable): Promise<void> {
  await db.execute(sql`
    with turn as materialized (
      select pg_try_advisory_xact_lock(hashtextextended('ct-ops-ingest/prune-refusals', 0)) as mine
    ), oldest_kept as materialized (
      select greatest(
        now() - ${KEPT_FOR}::interval,
        (select refused_at from ingest.refusals order by refused_at desc offset ${KEPT_ROWS - 1} limit 1)
      ) as refused_at
    )
    delete from ingest.refusals r using turn, oldest_kept k
    where turn.mine and r.refused_at < k.refused_at`);
}

/** The newest refusals that concern an agent: it was named, or its key, or a machine with its hostname. */
export async function listRefusalsOfAgent(
  db: Queryable,
  { agentId, publicKey, hostname, limit }: { agentId: string; publicKey: string; hostname: string; limit: number },
): Promise<RefusalRow[]> {
  return db
    .select()
    .from(refusals)
    .where(
      or(
        eq(refusals.agentId, agentId),
        eq(refusals.publicKey, publicKey),
        // Without an index: the table is small, and only a person asks.
        sql`lower(${refusals.hostname}) = lower(${hostname})`,
      ),
    )
    .orderBy(desc(refusals.refusedAt), desc(refusals.id))
    .limit(limit);
}
