import { sql } from "drizzle-orm";
import { readMigrationFiles } from "drizzle-orm/migrator";
import type { Queryable } from "./database.js";
import { BASELINE_TABLES, MIGRATIONS } from "./migrate.js";

/** How far a database is migrated. */
export interface MigrationState {
  /** Tables of the platform that this service knows and the database does not have. */
  missingTables: string[];
  /** How many migrations of the service's own schema are to be applied. */
  pending: number;
  /** It has migrations that this version does not know. */
  isNewer: boolean;
}

/** Reads how far a database is migrated; nothing is changed. */
export async function readMigrationState(db: Queryable): Promise<MigrationState> {
  const { rows: missing } = await db.execute<{ name: string }>(sql`
    select name from unnest(${sql.param(BASELINE_TABLES)}::text[]) as t(name)
    where to_regclass('public.' || quote_ident(name)) is null
    order by name`);
  const applied = await readNewestApplied(db);
  const known = readMigrationFiles({ migrationsFolder: `${MIGRATIONS}/ingest` }).map(
    ({ folderMillis }) => folderMillis,
  );
  return {
    missingTables: missing.map(({ name }) => name),
    // As drizzle decides it: by time alone.
    pending: known.filter((millis) => millis > applied).length,
    isNewer: applied > Math.max(...known),
  };
}

async function readNewestApplied(db: Queryable): Promise<number> {
  const { rows: found } = await db.execute<{ exists: boolean }>(
    sql`select to_regclass('ingest.migrations') is not null as exists`,
  );
  if (found[0]?.exists !== true) return 0;
  const { rows } = await db.execute<{ newest: string | null }>(
    sql`select max(created_at)::text as newest from ingest.migrations`,
  );
  return Number(rows[0]?.newest ?? 0);
}
