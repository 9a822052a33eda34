import { sql } from "drizzle-orm";
import t from "tap";
import { isTransient, openDatabase } from "../../dist/store/database.js";
import { createTestDatabase } from "../support/database.js";
import { eventually } from "../support/eventually.js";

t.test("a connection that breaks between two statements of a transaction fails that transaction alone", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  const work = database.transaction(async (tx) => {
    const { rows } = await tx.execute<{ pid: number }>(sql`select pg_backend_pid() as pid`);
    await query("select pg_terminate_backend($1)", [rows[0]?.pid]);
    // Its last word was sent before, and is read by now.
    await eventually(
      () => query("select from pg_stat_activity where pid = $1", [rows[0]?.pid]),
      ({ length }) => length === 0,
    );
    await tx.execute(sql`select 1`);
  });
  await t.rejects(work);
  await work.catch((error: unknown) => t.ok(isTransient(error), "and it is worth another try"));
  t.match((await database.db.execute(sql`select 1 as one`)).rows, [{ one: 1 }]);
});
