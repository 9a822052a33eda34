import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { getTableName, is, sql } from "drizzle-orm";
import { PgTable } from "drizzle-orm/pg-core";
import { IngestError } from "../../errors.js";
import type { Queryable } from "../database.js";
import * as platform from "../schema/platform/index.js";
import type { MigrationSet } from "./applied-migration.js";

/** The schema that is the service's own. */
export const OWN_SCHEMA = "ingest";
/** The sets of migrations, and the tables of {@link OWN_SCHEMA} that say which of them were applied. */
export const MIGRATION_JOURNALS = { platform: "platform_migrations", ingest: "migrations" } as const satisfies Record<
  MigrationSet,
  string
>;
/** All tables of the platform that the service knows: what the baseline makes. */
export const BASELINE_TABLES = Object.values(platform)
  .filter((value) => is(value, PgTable))
  .map((table) => getTableName(table));

/** Where the migrations of a set are. */
export function migrationsFolder(set: MigrationSet): string {
  return fileURLToPath(new URL(`../../../drizzle/${set}`, import.meta.url));
}

/** What of a set is applied. */
export interface AppliedMigrations {
  /** The names of those that are to be applied, such as `0003_identity-changes`. */
  pending: string[];
  /** Some are applied that this version does not know. */
  isNewer: boolean;
}

/** How far a database is migrated. */
export interface MigrationState extends AppliedMigrations {
  /** Tables of the platform that this service knows and the database does not have. */
  missingTables: string[];
}

/** Reads how far a database is migrated; nothing is changed. */
export async function readMigrationState(db: Queryable): Promise<MigrationState> {
  const { rows: missing } = await db.execute<{ name: string }>(sql`
    select name from unnest(${sql.param(BASELINE_TABLES)}::text[]) as t(name)
    where to_regclass('public.' || quote_ident(name)) is null
    order by name`);
  return { missingTables: missing.map(({ name }) => name), ...(await readAppliedMigrations(db, "ingest")) };
}

/** Compares the migrations of a set with those that were applied. */
export async function readAppliedMigrations(db: Queryable, set: MigrationSet): Promise<AppliedMigrations> {
  const applied = await readNewestApplied(db, MIGRATION_JOURNALS[set]);
  // What drizzle writes beside the migrations of a set.
  const journal = await readFile(join(migrationsFolder(set), "meta", "_journal.json"), "utf8");
  const { entries } = JSON.parse(journal) as { entries: { tag: string; when: number }[] };
  return {
    // As drizzle decides it: by time alone.
    pending: entries.filter(({ when }) => when > applied).map(({ tag }) => tag),
    isNewer: applied > Math.max(...entries.map(({ when }) => when)),
  };
}

/**
 * Demands that no newer version of the service has migrated the database: what this one knows of its tables may be wrong.
 *
 * @throws IngestError `database_newer`
 */
export async function requireKnownVersion(db: Queryable): Promise<void> {
  if ((await readAppliedMigrations(db, "ingest")).isNewer) throw databaseNewer();
}

/** A newer version of the service has migrated the database. */
export function databaseNewer(): IngestError {
  return new IngestError(
    "database_newer",
    "a newer version of this service has migrated the database: run that version, on all instances",
  );
}

async function readNewestApplied(db: Queryable, journal: string): Promise<number> {
  const { rows: found } = await db.execute<{ exists: boolean }>(
    sql`select to_regclass(${`${OWN_SCHEMA}.${journal}`}) is not null as exists`,
  );
  if (found[0]?.exists !== true) return 0;
  const { rows } = await db.execute<{ newest: string | null }>(
    sql`select max(created_at)::text as newest from ${sql.identifier(OWN_SCHEMA)}.${sql.identifier(journal)}`,
  );
  return Number(rows[0]?.newest ?? 0);
}
