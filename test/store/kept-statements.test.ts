import { sql } from "drizzle-orm";
import t, { type Test } from "tap";
import { type Database, openDatabase } from "../../dist/store/database.js";
import type { Transaction } from "../../dist/store/transaction.js";
import { createTestDatabase } from "../support/database/database.js";

async function setUp(t: Test) {
  const { url, query } = await createTestDatabase(t);
  const database = openDatabase({ url, maxConnections: 1 });
  t.teardown(() => database.close());
  await query("create table things (id int primary key, name text not null)");
  await query("insert into things values (1, 'one')");
  let runs = 0;
  const readThing = async (tx: Transaction) => {
    runs += 1;
    const { rows } = await tx.execute<{ name: string }>(sql`select name from things where id = ${1}`);
    return rows[0]?.name;
  };
  const countRuns = async (work: () => Promise<unknown>) => {
    runs = 0;
    t.equal(await work(), "one");
    return runs;
  };
  return { query, database, readThing, countRuns };
}

async function readKept({ db }: Database) {
  const { rows } = await db.execute(
    sql`select statement, generic_plans::int as plans from pg_prepared_statements where statement like '%things%'`,
  );
  return rows;
}

t.test("a connection keeps the statements of the transactions that ask for it, and no others", async (t) => {
  const { database, readThing } = await setUp(t);
  await database.transaction(readThing);
  t.same(await readKept(database), []);
  for (let i = 0; i < 3; i += 1) await database.transaction(readThing, { keepsStatements: true });
  await database.transaction(readThing);
  t.same(await readKept(database), [{ statement: "select name from things where id = $1", plans: 3 }]);
});

t.test("there is an end to how many are kept", async (t) => {
  const { database } = await setUp(t);
  await database.transaction(
    async (tx) => {
      for (let i = 0; i < 60; i += 1) await tx.execute(sql`select ${i}::int as ${sql.identifier(`things_${i}`)}`);
    },
    { keepsStatements: true },
  );
  t.equal((await readKept(database)).length, 50);
});

t.test("a column that becomes of another type does not fail a transaction whose statement is kept", async (t) => {
  const { query, database, readThing, countRuns } = await setUp(t);
  const kept = () => database.transaction(readThing, { keepsStatements: true });
  t.equal(await countRuns(kept), 1);
  await query("create type thing_name as enum ('one')");
  await query("alter table things alter column name type thing_name using name::thing_name");
  t.equal(await countRuns(kept), 2);
  t.equal(await countRuns(kept), 1);
});

t.test("nor does a session that is reset; its settings are restored", async (t) => {
  const { database, readThing, countRuns } = await setUp(t);
  const kept = () => database.transaction(readThing, { keepsStatements: true });
  t.equal(await countRuns(kept), 1);
  await database.db.execute(sql`discard all`);
  t.equal(await countRuns(kept), 2);
  const { rows } = await database.db.execute(sql`select current_setting('statement_timeout') as timeout`);
  t.same(rows, [{ timeout: "30s" }]);
});
