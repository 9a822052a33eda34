import { sql } from "drizzle-orm";
import type { Queryable } from "./database.js";

/** Serialises, over all instances, the enrolments of one key until the transaction ends. */
export async function lockRegistrationKey(tx: Queryable, publicKey: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`ct-ops-ingest/key:${publicKey}`}, 0))`);
}
