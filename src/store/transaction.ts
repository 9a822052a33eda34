import { type ExtractTablesWithRelations, sql } from "drizzle-orm";
import type { NodePgQueryResultHKT } from "drizzle-orm/node-postgres";
import type { PgTransaction } from "drizzle-orm/pg-core";

/**
 * A transaction on one connection. What takes a lock, or writes what belongs together, asks for one: outside of a
 * transaction a lock would be gone with the statement that took it.
 */
export type Transaction = PgTransaction<
  NodePgQueryResultHKT,
  Record<string, never>,
  ExtractTablesWithRelations<Record<string, never>>
>;

/** Bounds how long the transaction waits for each single lock; it then fails with an error of a passing kind. */
export async function limitLockWaits(tx: Transaction, limitMs: number): Promise<void> {
  await tx.execute(sql`select set_config('lock_timeout', ${`${limitMs}ms`}, true)`);
}
