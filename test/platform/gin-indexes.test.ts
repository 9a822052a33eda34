import t from "tap";
import { migrateIngest } from "../../dist/store/migrations/migrate.js";
import { connectTo, untilLockedOut } from "../support/database/database.js";
import { createDatabaseWithLists, GIN_INDEXES, readGinIndexes } from "../support/database/gin-indexes.js";
import { createPlatformDatabase } from "../support/database/platform-database.js";

const WITHOUT_LISTS = GIN_INDEXES.map((name) => ({ name, options: ["fastupdate=off"] }));

t.test("no GIN index keeps new entries in a list, which every lookup would read", async (t) => {
  const database = await createPlatformDatabase(t);
  await migrateIngest(database.url);
  t.same(await readGinIndexes(database), WITHOUT_LISTS);
});

t.test("the indexes of the version before are changed, and their lists emptied", async (t) => {
  const database = await createDatabaseWithLists(t);
  await database.query(`update hosts set ip_addresses = '["10.0.0.1"]'`);
  await database.query(
    "insert into ingest.agent_registrations (agent_id, identifying_addresses) select id, '{10.0.0.1}' from agents",
  );
  t.same(
    await readGinIndexes(database),
    GIN_INDEXES.map((name) => ({ name, options: null })),
  );
  await migrateIngest(database.url);
  t.same(await readGinIndexes(database), WITHOUT_LISTS);
  for (const name of GIN_INDEXES) {
    t.same(await database.query("select gin_clean_pending_list($1)::int as pages", [name]), [{ pages: 0 }], name);
  }
});

t.test("an index that somebody removed is passed over", async (t) => {
  const database = await createDatabaseWithLists(t);
  await database.query("drop index ingest_hosts_ip_addresses_idx");
  await migrateIngest(database.url);
  t.same(await readGinIndexes(database), WITHOUT_LISTS.slice(0, -1));
});

t.test("whoever has read hosts, and keeps the transaction open, holds up the migration and nobody else", async (t) => {
  const database = await createDatabaseWithLists(t);
  const webApp = await connectTo(t, database.url);
  await webApp.query("begin");
  await webApp.query("select from hosts where id = 'x'");
  const migrated = migrateIngest(database.url);
  await untilLockedOut(database);
  const agent = await connectTo(t, database.url);
  await agent.query("set statement_timeout = '5s'");
  await t.resolves(agent.query("update hosts set updated_at = now()"));
  await webApp.query("commit");
  await migrated;
  t.same(await readGinIndexes(database), WITHOUT_LISTS);
});
