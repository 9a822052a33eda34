import { sql } from "drizzle-orm";
import t from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { hosts, organisations } from "../../dist/store/schema/platform/index.js";
import { insertRows } from "../../dist/store/sets/insert-rows.js";
import { createTestDatabase } from "../support/database/database.js";

t.test("rows of any number are written by one statement that is kept, with the values they were given", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  await query("create type host_status as enum ('unknown', 'online', 'offline')");
  await query("alter table hosts alter column status drop default");
  await query("alter table hosts alter column status type host_status using status::host_status");
  const seenAt = new Date("2026-02-03T04:05:06.789Z");
  const row = (id: string) => ({
    id,
    organisationId: "org",
    hostname: `it's "${id}" \\ ü 漢 😀`,
    status: "online",
    os: null,
    uptimeSeconds: 7,
    lastSeenAt: seenAt,
    metadata: { pendingTags: [{ key: "k", value: "'; drop table hosts" }] },
  });
  const columns = [
    "id",
    "organisationId",
    "hostname",
    "status",
    "os",
    "uptimeSeconds",
    "lastSeenAt",
    "metadata",
  ] as const;
  const write = (ids: string[]) =>
    database.transaction((tx) => tx.execute(insertRows(hosts, columns, ids.map(row))), { keepsStatements: true });

  await database.db.insert(organisations).values({ id: "org", name: "org", slug: "org" });
  await write(["a"]);
  await write(["b", "c"]);
  await write([]);

  const stored = await database.db.select().from(hosts).orderBy(hosts.id);
  t.match(stored, ["a", "b", "c"].map(row));
  t.ok(stored.every(({ createdAt }) => createdAt instanceof Date));
  const { rows } = await database.db.execute(
    sql`select generic_plans::int as plans from pg_prepared_statements where statement like '%insert into "hosts"%'`,
  );
  t.same(rows, [{ plans: 3 }]);
});
