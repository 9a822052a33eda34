import { asc, eq, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { instances } from "../schema/ingest/index.js";

/** Whoever did not renew its row for so long, in seconds, does not run, or cannot reach the database. */
export const INSTANCE_GONE_AFTER_S = 20;
/** How long the row of one that is gone can be looked at, in seconds. */
const FORGOTTEN_AFTER_S = 24 * 60 * 60;

/** What an instance says of itself. */
export type InstanceRecord = Pick<typeof instances.$inferInsert, "id" | "version" | "address">;

/** A row of `ingest.instances`. */
export type InstanceRow = typeof instances.$inferSelect & {
  /** Agents whose current session it holds, or held when it was heard last. */
  sessions: number;
  /** It did not renew its row for too long. */
  isGone: boolean;
};

/** Whether the instance of the table or alias named `i` runs. */
export const IS_RUNNING = sql`i.renewed_at > now() - make_interval(secs => ${sql.raw(String(INSTANCE_GONE_AFTER_S))})`;

/** Says that an instance runs, for the first time or again. */
export async function renewInstance(db: Queryable, { id, version, address }: InstanceRecord): Promise<void> {
  await db
    .insert(instances)
    .values({ id, version, address })
    .onConflictDoUpdate({ target: instances.id, set: { renewedAt: sql`now()` } });
}

/** Says that an instance takes no sessions any more. */
export async function markInstanceDraining(db: Queryable, id: string): Promise<void> {
  await db.update(instances).set({ draining: true, renewedAt: sql`now()` }).where(eq(instances.id, id));
}

/** Takes away the row of an instance that ended in order. */
export async function removeInstance(db: Queryable, id: string): Promise<void> {
  await db.delete(instances).where(eq(instances.id, id));
}

/** Forgets those that have been gone for long. */
export async function forgetGoneInstances(db: Queryable): Promise<void> {
  await db.delete(instances).where(sql`${instances.renewedAt} < now() - make_interval(secs => ${FORGOTTEN_AFTER_S})`);
}

/** All instances, the oldest first. */
export async function listInstances(db: Queryable): Promise<InstanceRow[]> {
  const rows = await db
    .select({
      instance: instances,
      isGone: sql<boolean>`${instances.renewedAt} <= now() - make_interval(secs => ${INSTANCE_GONE_AFTER_S})`,
      sessions: sql<number>`(
        select count(*)::int from ingest.agent_sessions s
        where s.instance_id = ${instances.id} and s.closed_at is null)`,
    })
    .from(instances)
    .orderBy(asc(instances.startedAt), asc(instances.id));
  return rows.map(({ instance, ...row }) => ({ ...instance, ...row }));
}
