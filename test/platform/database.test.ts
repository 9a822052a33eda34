import t from "tap";
import { migrateIngest, migrateStandalone } from "../../dist/store/migrations/migrate.js";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { createEmptyDatabase, createTestDatabase } from "../support/database/database.js";
import { createPlatformDatabase, dumpCatalogue, dumpRows } from "../support/database/platform-database.js";
import { startTestService } from "../support/service.js";

t.test("nothing of a platform's database is lost or changed by migrating, starting and running", async (t) => {
  const database = await createPlatformDatabase(t);
  const rows = await dumpRows(database);
  const catalogue = await dumpCatalogue(database);

  await migrateIngest(database.url);
  await migrateStandalone(database.url);
  t.same(await dumpRows(database), rows, "migrating leaves every row as it was");

  const service = await startTestService(t, { on: database });
  const token = await service.createToken({ organisationSlug: "acme" });
  const agent = await enrol(service, token);
  const stream = await openLiveStream(service, agent);
  stream.send(heartbeat(agent.agentId));
  await stream.next();
  await service.close();
  await migrateIngest(database.url);

  const now = await dumpRows(database);
  t.same([...now.keys()], [...rows.keys()], "no table was added or removed");
  for (const [table, before] of rows) {
    const after = new Set(now.get(table));
    t.same(
      before.filter((row) => !after.has(row)),
      [],
      `${table}: every row is as it was`,
    );
  }
  t.same(now.get("drizzle.__drizzle_migrations"), rows.get("drizzle.__drizzle_migrations"));

  const later = await dumpCatalogue(database);
  t.same(
    catalogue.filter((line) => !later.includes(line)),
    [],
    "nothing was dropped, renamed or changed",
  );
  const added = later.filter((line) => !catalogue.includes(line));
  t.same(
    added.filter((line) => !/^(index|trigger) CREATE (INDEX|TRIGGER) ingest_/.test(line)),
    [],
    "all that was added is indexes and triggers of the service's own name",
  );
  t.same(
    added.filter((line) => line.startsWith("trigger") && / UPDATE OF |\bWHEN\b/i.test(line)),
    [],
    "no trigger names a column, which would keep the platform from altering it",
  );
  t.same(
    await database.query(`
      select k.conname from pg_constraint k
      where k.contype = 'f' and k.connamespace = 'ingest'::regnamespace
        and k.confrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
        and k.confdeltype <> 'c'`),
    [],
    "rows of the service go with the platform's rows they refer to",
  );
});

t.test("a standalone database has the platform's tables in the platform's shape", async (t) => {
  const platform = new Set(await dumpCatalogue(await createPlatformDatabase(t)));
  const standalone = await dumpCatalogue(await createTestDatabase(t));
  t.same(
    standalone.filter((line) => /^(column|constraint) /.test(line) && !platform.has(line)),
    // The contract does not say that the key is unique, so nothing may rely on it.
    ["constraint system_config system_config_pkey PRIMARY KEY (key)"],
    "columns, types, defaults and constraints",
  );
});

t.test(
  "a database with only some of the platform's tables is refused with what is there and what is not",
  async (t) => {
    for (const statement of ['create table "user" (id text)', "create table hosts (id text)"]) {
      const { url, query } = await createEmptyDatabase(t);
      await query(statement);
      for (const migrate of [migrateStandalone, migrateIngest]) {
        await t.rejects(migrate(url), {
          code: "platform_tables_missing",
          message:
            /some of the platform's tables \((user|hosts)\) but not organisations, agent_enrolment_tokens, agents/,
        });
      }
    }
  },
);
