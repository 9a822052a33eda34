import type { Test } from "tap";
import { MIGRATION_JOURNALS } from "../../dist/store/migrations/migration-state.js";
import { startTestService, type TestService, type TestServiceOptions } from "./service.js";

/** What a service holds on to: its keys, who it is, and the organisation, with its user, that it was started with. */
const KEPT = [
  ...Object.values(MIGRATION_JOURNALS),
  "certificate_authorities",
  "instances",
  "organisations",
  "publishers",
  "signing_keys",
  "system_config",
  "user",
];

/** Refusals of one address in a minute are bounded otherwise, and those of all tests of a file add up. */
export const UNLIMITED = { INGEST_REGISTER_REFUSALS_PER_MINUTE: "0" };

/**
 * A service that the tests of a file share, one after the other: started for the first of them, and ended with the file.
 * Each finds it with the one organisation, and without agents, hosts and tokens.
 */
export function shareTestService(file: Test, options: TestServiceOptions = {}): () => Promise<TestService> {
  let started: Promise<TestService> | undefined;
  return async () => {
    if (started === undefined) {
      started = startTestService(file, { ...options, env: { ...UNLIMITED, ...options.env } });
      return started;
    }
    const service = await started;
    await emptyTables(service);
    return service;
  };
}

/** Deletes in an order of its own, hence without foreign keys; and without triggers, which would publish it. */
async function emptyTables({ database: { query } }: TestService): Promise<void> {
  await query(`
    do $$ declare name text; begin
      set local session_replication_role = replica;
      for name in select format('%I.%I', schemaname, tablename) from pg_tables
        where schemaname in ('public', 'ingest') and tablename not in ('${KEPT.join("', '")}')
        -- Hosts before agents, as the service locks them.
        order by tablename desc
      loop execute 'delete from ' || name; end loop;
      delete from organisations where slug <> 'test';
    end $$`);
}
