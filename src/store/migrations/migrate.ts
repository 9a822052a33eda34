import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import type pg from "pg";
import { IngestError } from "../../errors.js";
import { openConnection } from "../connection/connection.js";
import { reasonOf, sqlStateOf } from "../connection/connection-error.js";
import type { AppliedMigration, MigrationSet } from "./applied-migration.js";
import {
  BASELINE_TABLES,
  databaseNewer,
  MIGRATION_JOURNALS,
  migrationsFolder,
  OWN_SCHEMA,
  readAppliedMigrations,
} from "./migration-state.js";

/** Tables without which the service cannot do anything. */
const PLATFORM_TABLES = ["organisations", "agent_enrolment_tokens", "agents", "hosts"];
const HOUR_MS = 60 * 60 * 1000;
/** Making an index of a large table takes its time, as does waiting for another instance, or the web app. */
const POLICY = { purpose: "migrate", statementTimeoutMs: HOUR_MS, lockTimeoutMs: 0 };

/**
 * Brings the service's own schema up to date, on a database that has the platform's tables. Several processes at
 * once wait for each other.
 *
 * @param signal gives it up: nothing is half done then
 * @throws IngestError `platform_tables_missing`, `database_newer`, `unusable_configuration`
 */
export async function migrateIngest(url: string, signal?: AbortSignal): Promise<AppliedMigration[]> {
  return withMigrationLock(url, signal, async (client) => {
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
    return apply(client, "ingest");
  });
}

/**
 * Makes, or brings up to date, a database that is the service's own: the platform's tables in the shape the platform
 * gives them, and the service's schema. Tables of the platform that the web app made are left alone.
 *
 * @param signal gives it up: nothing is half done then
 * @throws IngestError `platform_tables_missing` when somebody else made some of the platform's tables, but not all
 */
export async function migrateStandalone(url: string, signal?: AbortSignal): Promise<AppliedMigration[]> {
  return withMigrationLock(url, signal, async (client) => {
    const ours = await isOurs(client);
    const present = await findTables(client, BASELINE_TABLES);
    if (!ours && present.length > 0 && !isComplete(present)) {
      throw new IngestError("platform_tables_missing", describeIncomplete(present));
    }
    const ofPlatform = ours || present.length === 0 ? await apply(client, "platform") : [];
    return [...ofPlatform, ...(await apply(client, "ingest"))];
  });
}

/** drizzle's migrate() fails when two run at once: the lock is held on the connection that migrates. */
async function withMigrationLock<T>(
  url: string,
  signal: AbortSignal | undefined,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  // Cut by the signal, it rolls back.
  const client = await openConnection(url, { ...POLICY, ...(signal && { signal }) });
  try {
    await client.query("select pg_advisory_lock(hashtextextended('ct-ops-ingest/migrate', 0))");
    return await work(client);
  } finally {
    // Ends the session, and with it the lock.
    await client.end();
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
  const journal = `${OWN_SCHEMA}.${MIGRATION_JOURNALS.platform}`;
  const { rows: found } = await client.query<{ exists: boolean }>("select to_regclass($1) is not null as exists", [
    journal,
  ]);
  if (found[0]?.exists !== true) return false;
  const { rows } = await client.query<{ ours: boolean }>(`select exists (select from ${journal}) as ours`);
  return rows[0]?.ours === true;
}

const INSUFFICIENT_PRIVILEGE = "42501";

/**
 * Applies what is to be applied, and asks for no right when that is nothing: drizzle begins with `create schema`.
 *
 * @throws IngestError `database_newer`, `unusable_configuration`
 */
async function apply(client: pg.Client, set: MigrationSet): Promise<AppliedMigration[]> {
  const db = drizzle(client);
  const { pending, isNewer } = await readAppliedMigrations(db, set);
  if (isNewer) throw databaseNewer();
  if (pending.length === 0) return [];
  try {
    await migrate(db, {
      migrationsFolder: migrationsFolder(set),
      migrationsSchema: OWN_SCHEMA,
      migrationsTable: MIGRATION_JOURNALS[set],
    });
  } catch (cause) {
    if (sqlStateOf(cause) !== INSUFFICIENT_PRIVILEGE) throw cause;
    throw new IngestError(
      "unusable_configuration",
      `${pending.length} migrations are to be applied, and the role ${client.user} may not: ${reasonOf(cause)}; run ` +
        "`ct-ops-ingest migrate` once with a DATABASE_URL whose role owns the platform's tables",
      { cause },
    );
  }
  return pending.map((name) => ({ set, name }));
}
