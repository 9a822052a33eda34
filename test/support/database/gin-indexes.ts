import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import type { Test } from "tap";
import { MIGRATION_JOURNALS, migrationsFolder, OWN_SCHEMA } from "../../../dist/store/migrations/migration-state.js";
import { makeDirectory } from "../service.js";
import { connectTo, type TestDatabase } from "./database.js";
import { createPlatformDatabase } from "./platform-database.js";

/** The GIN indexes of the service, as `regclass` writes them, by name. */
export const GIN_INDEXES = [
  "ingest.agent_adoptions_previous_addresses_idx",
  "ingest.agent_registrations_identifying_addresses_idx",
  "ingest_hosts_ip_addresses_idx",
];

/** The GIN indexes of the service that a database has, with what they were given. */
export function readGinIndexes({ query }: TestDatabase): Promise<{ name: string; options: string[] | null }[]> {
  return query(
    `select c.oid::regclass::text as name, c.reloptions as options
     from pg_class c join pg_am a on a.oid = c.relam
     where a.amname = 'gin' and (c.relnamespace = 'ingest'::regnamespace or c.relname like 'ingest\\_%')
     order by 1`,
  );
}

/** A platform's database that the version before migrated that takes the list of new entries from GIN indexes. */
export async function createDatabaseWithLists(t: Test): Promise<TestDatabase> {
  const database = await createPlatformDatabase(t);
  const folder = await makeDirectory(t);
  await cp(migrationsFolder("ingest"), folder, { recursive: true });
  const file = join(folder, "meta", "_journal.json");
  const journal = JSON.parse(await readFile(file, "utf8"));
  const entries = journal.entries.filter(({ idx }: { idx: number }) => idx <= 21);
  await writeFile(file, JSON.stringify({ ...journal, entries }));
  await migrate(drizzle(await connectTo(t, database.url)), {
    migrationsFolder: folder,
    migrationsSchema: OWN_SCHEMA,
    migrationsTable: MIGRATION_JOURNALS.ingest,
  });
  return database;
}
