import { type SQL, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";

/** A row to be: the messages of one topic in one transaction. */
export interface NewOutboxRow {
  topic: string;
  /** JSON: an array of bodies. */
  messages: string;
  messageCount: number;
  /** For so long nobody else takes it, in milliseconds; 0 when nobody publishes it yet. */
  leaseMs: number;
}

/** A row that was taken to be published. */
export interface OutboxRow {
  id: number;
  topic: string;
  /** An array of bodies, unless somebody else wrote it. */
  messages: unknown;
}

/** Puts messages into the transaction with what they tell of; returns the ids of the rows, in their order. */
export async function insertOutboxRows(tx: Transaction, rows: readonly NewOutboxRow[]): Promise<number[]> {
  const ids: number[] = [];
  // One parameter for each value: as an element of an array the JSON would be escaped once more.
  const values = rows.map(
    ({ topic, messages, messageCount, leaseMs }) => sql`(
      ${topic}, ${messages}::json, ${messageCount}::int, clock_timestamp(),
      ${leaseMs > 0 ? until(leaseMs) : sql`null`})`,
  );
  const { rows: inserted } = await tx.execute<{ id: string }>(sql`
    insert into ingest.outbox (topic, messages, message_count, created_at, leased_until)
    values ${sql.join(values, sql`, `)}
    returning id`);
  for (const { id } of inserted) ids.push(Number(id));
  return ids;
}

/** Tells the instances that there are rows which nobody publishes: they would look within seconds. */
export async function tellOfOutboxRows(tx: Transaction): Promise<void> {
  await tx.execute(sql`select pg_notify('ct_ops_ingest', 'outbox')`);
}

/** Most rows that one {@link takeOutboxRows} looks at. */
const MAX_ROWS_TAKEN = 500;

/**
 * Takes the oldest rows of a topic that nobody publishes. What somebody else is taking at the moment is passed over.
 *
 * @param maxMessages about how many messages; at least one row is taken
 * @param leaseMs for how long nobody else takes them
 */
export async function takeOutboxRows(
  db: Queryable,
  { topic, maxMessages, leaseMs }: { topic: string; maxMessages: number; leaseMs: number },
): Promise<OutboxRow[]> {
  const { rows } = await db.execute<{ id: string; messages: unknown }>(sql`
    with due as materialized (
      select id, message_count
      from ingest.outbox
      where topic = ${topic} and ${IS_DUE}
      order by id
      limit ${MAX_ROWS_TAKEN}
      for update skip locked
    ), chosen as (
      select id
      from (select id, sum(message_count) over (order by id) - message_count as before from due) d
      where before < ${maxMessages}
    )
    update ingest.outbox o
    set leased_until = ${until(leaseMs)}
    from chosen c
    where o.id = c.id
    returning o.id, o.messages`);
  return rows.map(({ id, messages }) => ({ id: Number(id), topic, messages })).sort((a, b) => a.id - b.id);
}

const IS_DUE = sql`(leased_until is null or leased_until <= now())`;

/** Those of some topics of which something waits that nobody publishes. */
export async function findDueTopics(db: Queryable, topics: readonly string[]): Promise<string[]> {
  const { rows } = await db.execute<{ topic: string }>(sql`
    select t.topic
    from unnest(${sql.param([...topics])}::text[]) as t(topic)
    where exists (select from ingest.outbox o where o.topic = t.topic and ${IS_DUE})`);
  return rows.map(({ topic }) => topic);
}

/**
 * Deletes rows whose messages are confirmed. A deletion that is lost with the database's last moments costs a repeat, so
 * the disk is not waited for.
 */
export async function deleteOutboxRows(db: Queryable, ids: readonly number[]): Promise<void> {
  await db.execute(sql`
    with careless as materialized (select set_config('synchronous_commit', 'off', true))
    delete from ingest.outbox using careless where id = any(${sql.param([...ids])}::bigint[])`);
}

/** Leaves only these messages of a row, which nobody publishes from now on. */
export async function rewriteOutboxRow(
  db: Queryable,
  { id, messages, messageCount }: { id: number; messages: string; messageCount: number },
): Promise<void> {
  await db.execute(sql`
    update ingest.outbox
    set messages = ${messages}::json, message_count = ${messageCount}, leased_until = null
    where id = ${id}`);
}

/** Gives rows back: anybody may take them. */
export async function releaseOutboxRows(db: Queryable, ids: readonly number[]): Promise<void> {
  await db.execute(sql`
    update ingest.outbox set leased_until = null where id = any(${sql.param([...ids])}::bigint[])`);
}

/** Keeps rows for longer; those that are gone are passed over. */
export async function renewOutboxLeases(db: Queryable, ids: readonly number[], leaseMs: number): Promise<void> {
  await db.execute(sql`
    update ingest.outbox set leased_until = ${until(leaseMs)} where id = any(${sql.param([...ids])}::bigint[])`);
}

function until(ms: number): SQL {
  return sql`clock_timestamp() + make_interval(secs => ${ms / 1000})`;
}
