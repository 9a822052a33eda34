import { fileURLToPath } from "node:url";
import { getTableName, is } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import { PgTable } from "drizzle-orm/pg-core";
import pg from "pg";
import { IngestError } from "../errors.js";
import { abortable } from "../lib/abortable.js";
import * as platform from "./schema/platform/index.js";

const OWN_SCHEMA = "ingest";
/** Where the migrations are, a folder for each set. */
export const MIGRATIONS = fileURLToPath(new URL("../../drizzle", import.meta.url));
/** Tables without which the service cannot do anything. */
const PLATFORM_TABLES = ["organisations", "agent_enrolment_tokens", "agents", "hosts"];
/** All tables of the platform that the service knows: what the baseline makes. */
export const BASELINE_TABLES = Object.values(platform)
  .filter((value) => is(value, PgTable))
  .map((table) => getTableName(table));

/**
 * Brings the service's own schema up to date, on a database that has the platform's tables. Several processes at
 * once wait for each other.
 *
 * @param signal gives it up: nothing is half done then
 * @throws IngestError `platform_tables_missing`
 */
export async function migrateIngest(url: string, signal?: AbortSignal): Promise<void> {
  await withMigrationLock(url, signal, async (client) => {
    const present = await findTables(client, BASELINE_TABLES);
    if (!isComplete(present)) {
      throw new IngestError(
        "platform_tables_missing",
        present.length > 0
          ? describeIncomplete(present)
          : "the database has none of the platform's tables: let the web app migrate it first, or, if this database is " +
              "the service's own, run `ct-ops-ingest migrate --standalone`",
      );
    }
    await applyIngest(client);
  });
}

/**
 * Makes, or brings up to date, a database that is the service's own: the platform's tables in the shape the platform
 * gives them, and the service's schema. Tables of the platform that the web app made are left alone.
 *
 * @param signal gives it up: nothing is half done then
 * @throws IngestError `platform_tables_missing` when somebody else made some of the platform's tables, but not all
 */
export async function migrateStandalone(url: string, signal?: AbortSignal): Promise<void> {
  await withMigrationLock(url, signal, async (client) => {
    const ours = await isOurs(client);
    const present = await findTables(client, BASELINE_TABLES);
    if (!ours && present.length > 0 && !isComplete(present)) {
      throw new IngestError("platform_tables_missing", describeIncomplete(present));
    }
    if (ours || present.length === 0) await apply(client, "platform", "platform_migrations");
    await applyIngest(client);
  });
}

/** drizzle's migrate() fails when two run at once: the lock is held on the connection that migrates. */
async function withMigrationLock(
  url: string,
  signal: AbortSignal | undefined,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "ct-ops-ingest migrate",
    connectionTimeoutMillis: 10_000,
  });
  // With a query under way the connection is cut, and PostgreSQL rolls back.
  const giveUp = () => void client.end().catch(() => {});
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    await (signal === undefined ? client.connect() : abortable(client.connect(), signal));
    await client.query("select pg_advisory_lock(hashtextextended('ct-ops-ingest/migrate', 0))");
    await work(client);
  } finally {
    signal?.removeEventListener("abort", giveUp);
    // Ends the session, and with it the lock.
    const ended = client.end();
    if (signal?.aborted) ended.catch(() => {});
    else await ended;
  }
}

function isComplete(present: readonly string[]): boolean {
  return PLATFORM_TABLES.every((name) => present.includes(name));
}

function describeIncomplete(present: readonly string[]): string {
  const missing = PLATFORM_TABLES.filter((name) => !present.includes(name));
  return (
    `the database has some of the platform's tables (${present.join(", ")}) but not ${missing.join(", ")}: a migration of ` +
    "the web app did not finish, or the database belongs to something else; let the web app migrate it, or use an " +
    "empty database"
  );
}

/** Those of these tables that stand in schema `public`. */
async function findTables(client: pg.Client, names: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "select name from unnest($1::text[]) as t(name) where to_regclass('public.' || quote_ident(name)) is not null",
    [names],
  );
  return rows.map(({ name }) => name);
}

/**
 * Whether the platform's tables were made by {@link migrateStandalone}. The journal alone does not say so: drizzle
 * makes it before the transaction of the migrations, so an attempt that failed leaves it behind, empty.
 */
async function isOurs(client: pg.Client): Promise<boolean> {
  const journal = `${OWN_SCHEMA}.platform_migrations`;
  const { rows: found } = await client.query<{ exists: boolean }>("select to_regclass($1) is not null as exists", [
    journal,
  ]);
  if (found[0]?.exists !== true) return false;
  const { rows } = await client.query<{ ours: boolean }>(`select exists (select from ${journal}) as ours`);
  return rows[0]?.ours === true;
}

function applyIngest(client: pg.Client): Promise<void> {
  return apply(client, "ingest", "migrations");
}

async function apply(client: pg.Client, set: "platform" | "ingest", migrationsTable: string): Promise<void> {
  await migrate(drizzle(client), {
    migrationsFolder: `${MIGRATIONS}/${set}`,
    migrationsSchema: OWN_SCHEMA,
    migrationsTable,
  });
}
