import { sql } from "drizzle-orm";
import t from "tap";
import { isTransient, openDatabase } from "../../dist/store/database.js";
import type { Transaction } from "../../dist/store/transaction.js";
import { createTestDatabase } from "../support/database/database.js";
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

t.test("transactions in each other's way both get through: a deadlock, and a serialization failure", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 2 });
  t.teardown(() => database.close());
  await query("create table counters (id int primary key, count int not null)");
  await query("insert into counters values (1, 0), (2, 0)");
  const count = (tx: Transaction, id: number) =>
    tx.execute(sql`update counters set count = count + 1 where id = ${id}`);
  for (const isolation of ["read committed", "repeatable read"]) {
    let started = 0;
    const bothStarted = () =>
      eventually(
        async () => started,
        (n) => n >= 2,
      );
    await Promise.all(
      [[1, 2], isolation === "read committed" ? [2, 1] : [1, 2]].map((ids) =>
        database.transaction(async (tx) => {
          await tx.execute(sql.raw(`set transaction isolation level ${isolation}`));
          await tx.execute(sql`select from counters`);
          if (isolation === "read committed") await count(tx, ids[0] ?? 0);
          started += 1;
          await bothStarted();
          for (const id of isolation === "read committed" ? ids.slice(1) : ids) await count(tx, id);
        }),
      ),
    );
    t.ok(started > 2, `one of the two ran again: ${isolation}`);
  }
  t.same(await query("select count from counters"), [{ count: 4 }, { count: 4 }]);
});

t.test("what no repetition helps is not repeated", async (t) => {
  const { url } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  let runs = 0;
  await t.rejects(
    database.transaction(async (tx) => {
      runs += 1;
      await tx.execute(sql`select 1 / 0`);
    }),
  );
  t.equal(runs, 1);
});

t.test("a transaction in which something failed is not taken for committed, whoever made light of it", async (t) => {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  await query("create table things (id int primary key)");
  const work = async (tx: Transaction) => {
    await tx.execute(sql`insert into things values (1)`);
    await tx.execute(sql`insert into things values (1)`).catch(() => {});
  };
  await t.rejects(database.transaction(work), { message: /rolled back/ });
  t.same(await query("select id from things"), []);
  await database.transaction((tx) => tx.execute(sql`insert into things values (2)`));
  t.same(await query("select id from things"), [{ id: 2 }]);
});
