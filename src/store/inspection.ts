import { type SQL, sql } from "drizzle-orm";
import { isCallingStatus } from "./agents/calling-statuses.js";
import type { Queryable } from "./database.js";

// What `doctor` reads: of a database that may be anything, so each looks only at what it needs.

/** Names of agents that are shown as examples. */
const EXAMPLES = 5;
const COUNTED_ROWS = 1_000;

/** Agents that are enrolled and approved. */
const ENROLLED = sql`${isCallingStatus(sql`a.status`)} and a.deleted_at is null`;

/** How many agents something holds for, and the hostnames of some of them. */
export interface SomeAgents {
  count: number;
  examples: string[];
}

/** The version of PostgreSQL, such as `16.4`. */
export async function readServerVersion(db: Queryable): Promise<string> {
  const { rows } = await db.execute<{ version: string }>(sql`select current_setting('server_version') as version`);
  return rows[0]?.version ?? "";
}

/** Whether it can only be read: a standby, or made so. */
export async function readIsReadOnly(db: Queryable): Promise<boolean> {
  const { rows } = await db.execute<{ yes: boolean }>(
    sql`select current_setting('transaction_read_only')::bool as yes`,
  );
  return rows[0]?.yes === true;
}

/** How many connections the server takes of ordinary roles. */
export async function readConnectionLimit(db: Queryable): Promise<number> {
  const { rows } = await db.execute<{ count: number }>(sql`
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as count`);
  return rows[0]?.count ?? 0;
}

/** The time it is in the database. */
export async function readDatabaseClock(db: Queryable): Promise<Date> {
  const { rows } = await db.execute<{ ms: number }>(
    sql`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
  );
  return new Date(Number(rows[0]?.ms));
}

/** How many agents may hold a connection. */
export async function countEnrolledAgents(db: Queryable): Promise<number> {
  return (await findAgents(db, sql`true`)).count;
}

/** Agents that never were given a certificate. */
export function findAgentsWithoutCertificate(db: Queryable): Promise<SomeAgents> {
  return findAgents(db, sql`a.client_cert_serial is null`);
}

/** Agents whose newest certificate expires within some days, or has. */
export function findAgentsWithExpiringCertificate(db: Queryable, days: number): Promise<SomeAgents> {
  return findAgents(db, sql`a.client_cert_not_after < now() + make_interval(days => ${days})`);
}

async function findAgents(db: Queryable, condition: SQL): Promise<SomeAgents> {
  const { rows } = await db.execute<{ count: number; examples: string[] | null }>(sql`
    select count(*)::int as count, (array_agg(a.hostname order by a.hostname, a.id))[1:${sql.raw(String(EXAMPLES))}] as examples
    from agents a
    where ${ENROLLED} and ${condition}`);
  return { count: rows[0]?.count ?? 0, examples: rows[0]?.examples ?? [] };
}

/**
 * Counts the rows of a table that are in use: neither deleted nor switched off. Of a table that is not the service's only
 * the name is known; columns it does not have do not matter.
 *
 * @param recentDays only what was created within so many days
 */
export async function countUsedRows(
  db: Queryable,
  table: string,
  recentDays?: number,
): Promise<{ count: number; more: boolean }> {
  const { rows: found } = await db.execute<{ exists: boolean }>(
    sql`select to_regclass('public.' || quote_ident(${table})) is not null as exists`,
  );
  if (found[0]?.exists !== true) return { count: 0, more: false };
  const isRecent =
    recentDays === undefined
      ? sql`true`
      : sql`coalesce((r.row ->> 'created_at')::timestamptz > now() - make_interval(days => ${recentDays}), true)`;
  const { rows } = await db.execute<{ count: number }>(sql`
    select count(*)::int as count
    from (
      select
      from (select to_jsonb(t) as row from public.${sql.identifier(table)} t) r
      where r.row ->> 'deleted_at' is null and coalesce(r.row ->> 'enabled', 'true') = 'true' and ${isRecent}
      limit ${COUNTED_ROWS}
    ) used`);
  const count = rows[0]?.count ?? 0;
  return { count, more: count === COUNTED_ROWS };
}
