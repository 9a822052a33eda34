import { sql } from "drizzle-orm";
import { openConnection } from "./connection/connection.js";
import type { Transaction } from "./transaction.js";

/**
 * Takes a lock on a database that ends with the connection, so also with a process that is killed.
 *
 * @returns how to give it back; undefined when another process holds it
 */
export async function tryLockInstance(url: string): Promise<(() => Promise<void>) | undefined> {
  // The lock is lost with the connection; the database, which is gone then, is missed elsewhere.
  const client = await openConnection(url, { purpose: "dev", statementTimeoutMs: 5_000 });
  const { rows } = await client.query<{ locked: boolean }>(
    "select pg_try_advisory_lock(hashtextextended('ct-ops-ingest/dev', 0)) as locked",
  );
  if (rows[0]?.locked === true) return () => client.end();
  await client.end();
  return undefined;
}

/**
 * Takes a lock that is held until the transaction ends, over all instances.
 *
 * @param name what is locked; one of few constant names
 */
export async function lockInTransaction(tx: Transaction, name: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`ct-ops-ingest/${name}`}, 0))`);
}

/** Does the same without waiting; false when somebody else holds it. */
export async function tryLockInTransaction(tx: Transaction, name: string): Promise<boolean> {
  const { rows } = await tx.execute<{ locked: boolean }>(
    sql`select pg_try_advisory_xact_lock(hashtextextended(${`ct-ops-ingest/${name}`}, 0)) as locked`,
  );
  return rows[0]?.locked === true;
}
