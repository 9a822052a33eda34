import { asc, eq, lt, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { publishers } from "../schema/ingest/index.js";

/** Whoever said nothing for so long, in seconds, missed several reports. */
const GONE_AFTER_S = 20;

/** A row of `ingest.publishers`. */
export type PublisherRow = typeof publishers.$inferSelect & {
  /** Seconds since it was renewed. */
  ageS: number;
  /** It did not renew its row for too long: what it said last is not how it is. */
  isGone: boolean;
};

/** What an instance says of itself. */
export type PublisherRecord = Omit<typeof publishers.$inferInsert, "renewedAt">;

/** Records how an instance stands with its broker. */
export async function recordPublisher(db: Queryable, record: PublisherRecord): Promise<void> {
  const row = { ...record, renewedAt: sql`now()` };
  await db.insert(publishers).values(row).onConflictDoUpdate({ target: publishers.instanceId, set: row });
}

/** The instances that publish, or did until lately. */
export async function listPublishers(db: Queryable): Promise<PublisherRow[]> {
  const rows = await db
    .select({ publisher: publishers, ageS: sql<number>`extract(epoch from now() - ${publishers.renewedAt})::float8` })
    .from(publishers)
    .orderBy(asc(publishers.instanceId));
  return rows.map(({ publisher, ageS }) => ({ ...publisher, ageS, isGone: ageS >= GONE_AFTER_S }));
}

/** Whether some instance publishes, or would if it ran: what is to be published belongs into the outbox. */
export async function isQueueInUse(db: Queryable): Promise<boolean> {
  const { rows } = await db.execute<{ in_use: boolean }>(sql`select exists (select from ingest.publishers) as in_use`);
  return rows[0]?.in_use === true;
}

/** Forgets an instance. */
export async function forgetPublisher(db: Queryable, instanceId: string): Promise<void> {
  await db.delete(publishers).where(eq(publishers.instanceId, instanceId));
}

/** Forgets the instances that said nothing for so long, in seconds. */
export async function forgetSilentPublishers(db: Queryable, silentS: number): Promise<void> {
  await db.delete(publishers).where(lt(publishers.renewedAt, sql`now() - make_interval(secs => ${silentS})`));
}
