import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";

/** What waits of one topic. */
export interface TopicBacklog {
  topic: string;
  rows: number;
  messages: number;
  /** When the oldest of it was committed. */
  oldestAt: Date;
  /** How long ago that was, by the database's clock, which wrote it. */
  oldestAgeMs: number;
}

/** What waits in the outbox, being published or not. */
export function readBacklog(db: Queryable): Promise<TopicBacklog[]> {
  return readTopics(db, "outbox");
}

/** What was set aside since no queue was bound for it. */
export function readUnroutable(db: Queryable): Promise<TopicBacklog[]> {
  return readTopics(db, "unroutable_messages");
}

async function readTopics(db: Queryable, table: "outbox" | "unroutable_messages"): Promise<TopicBacklog[]> {
  const { rows } = await db.execute<{
    topic: string;
    rows: string;
    messages: string;
    oldest_at: Date;
    oldest_age_ms: number;
  }>(sql`
    select topic, count(*) as rows, sum(message_count) as messages, min(created_at) as oldest_at,
           greatest(0, extract(epoch from now() - min(created_at)) * 1000)::float8 as oldest_age_ms
    from ingest.${sql.identifier(table)}
    group by topic
    order by topic`);
  return rows.map((row) => ({
    topic: row.topic,
    rows: Number(row.rows),
    messages: Number(row.messages),
    oldestAt: new Date(row.oldest_at),
    oldestAgeMs: row.oldest_age_ms,
  }));
}

/**
 * Deletes the oldest rows of a topic, so that the outbox has no more than so many rows. Of instances that do so at once
 * one does it and the others pass.
 *
 * @returns how many messages were dropped
 */
export async function dropOldestRows(db: Queryable, topic: string, maxRows: number): Promise<number> {
  const { rows } = await db.execute<{ messages: string | null }>(sql`
    with turn as materialized (
      select pg_try_advisory_xact_lock(hashtextextended('ct-ops-ingest/trim-outbox', 0)) as mine
    ), excess as materialized (
      select greatest(0, count(*) - ${maxRows}) as rows from ingest.outbox, turn where turn.mine
    ), oldest as materialized (
      select id from ingest.outbox where topic = ${topic} and leased_until is null order by id
      limit (select rows from excess)
      for update skip locked
    ), dropped as (
      delete from ingest.outbox o using oldest where o.id = oldest.id returning o.message_count
    )
    select sum(message_count) as messages from dropped`);
  return Number(rows[0]?.messages ?? 0);
}

/** Adds to the count of messages that were given up. */
export async function countDroppedMessages(
  db: Queryable,
  { topic, from, messages }: { topic: string; from: "outbox" | "unroutable"; messages: number },
): Promise<void> {
  await db.execute(sql`
    insert into ingest.dropped_messages as d (topic, "from", message_count, dropped_at)
    values (${topic}, ${from}, ${messages}, now())
    on conflict (topic, "from") do update
      set message_count = d.message_count + excluded.message_count, dropped_at = excluded.dropped_at`);
}

/** How many messages were given up so far. */
export interface DroppedMessages {
  topic: string;
  from: string;
  messages: number;
  droppedAt: Date;
}

/** What was given up so far, by topic and where there was no room. */
export async function readDroppedMessages(db: Queryable): Promise<DroppedMessages[]> {
  const { rows } = await db.execute<{ topic: string; from: string; messages: string; dropped_at: Date }>(sql`
    select topic, "from", message_count as messages, dropped_at
    from ingest.dropped_messages
    order by topic, "from"`);
  return rows.map((row) => ({
    topic: row.topic,
    from: row.from,
    messages: Number(row.messages),
    droppedAt: new Date(row.dropped_at),
  }));
}
