import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";

/** Most rows of one topic that are kept, at least until the next {@link trimUnroutableMessages}. */
const KEPT_ROWS = 10_000;
/** How many rows one statement moves back. */
const CHUNK_ROWS = 500;

/** Sets messages aside that no queue is bound for. */
export async function setMessagesAside(
  tx: Transaction,
  { topic, messages, messageCount }: { topic: string; messages: string; messageCount: number },
): Promise<void> {
  await tx.execute(sql`
    insert into ingest.unroutable_messages (topic, messages, message_count, created_at)
    values (${topic}, ${messages}::json, ${messageCount}, now())`);
}

/**
 * Puts the messages that are set aside now back into the outbox, the oldest first. Those that come back meanwhile stay.
 *
 * @returns how many messages
 */
export async function retryUnroutableMessages(db: Queryable): Promise<number> {
  const newest = await db.execute<{ id: string | null }>(sql`select max(id) as id from ingest.unroutable_messages`);
  const upTo = newest.rows[0]?.id ?? null;
  let total = 0;
  for (let moved = await moveChunk(db, upTo); moved > 0; moved = await moveChunk(db, upTo)) total += moved;
  return total;
}

async function moveChunk(db: Queryable, upTo: string | null): Promise<number> {
  const { rows } = await db.execute<{ message_count: number }>(sql`
    with oldest as materialized (
      select id from ingest.unroutable_messages where id <= ${upTo}
      order by id limit ${CHUNK_ROWS} for update skip locked
    ), moved as (
      delete from ingest.unroutable_messages u using oldest where u.id = oldest.id
      returning u.id, u.topic, u.messages, u.message_count, u.created_at
    )
    insert into ingest.outbox (topic, messages, message_count, created_at)
    select topic, messages, message_count, created_at from moved order by id
    returning message_count`);
  return rows.reduce((sum, row) => sum + row.message_count, 0);
}

/**
 * Drops the oldest rows of each topic that has too many.
 *
 * @returns how many messages of which topics were dropped
 */
export async function trimUnroutableMessages(db: Queryable): Promise<{ topic: string; messages: number }[]> {
  const { rows } = await db.execute<{ topic: string; messages: string }>(sql`
    with dropped as (
      delete from ingest.unroutable_messages u
      using (
        select topic, id,
               row_number() over (partition by topic order by id desc) as age
        from ingest.unroutable_messages
      ) ranked
      where u.id = ranked.id and ranked.age > ${KEPT_ROWS}
      returning u.topic, u.message_count
    )
    select topic, sum(message_count) as messages from dropped group by topic`);
  return rows.map(({ topic, messages }) => ({ topic, messages: Number(messages) }));
}
