import { readFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { type SQL, sql } from "drizzle-orm";
import t, { type Test } from "tap";
import { describeError } from "../../dist/cli/interaction/describe-error.js";
import { openConnection } from "../../dist/store/connection/connection.js";
import { type Database, type DatabaseOptions, isTransient, openDatabase } from "../../dist/store/database.js";
import type { Transaction } from "../../dist/store/transaction.js";
import { createTestDatabase, type TestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

const SHORT = { statementTimeoutMs: 100, connectTimeoutMs: 500 };
/** A deadline, a second after the server's own, and what a busy machine takes. */
const SOON_MS = 5_000;

const shared = await createTestDatabase(t);

/** A pool that reaches the database through a proxy. */
async function openThroughProxy(t: Test, options: Partial<DatabaseOptions> = {}) {
  const proxy = await startTcpProxy(t, Number(new URL(shared.url).port));
  const database = openDatabase({ url: proxy.through(shared.url), ...SHORT, ...options });
  t.teardown(() => database.close());
  return { proxy, database };
}

/** The ORM would wait until somebody asks for the result. */
async function query({ db }: Database, text: SQL) {
  return await db.execute(text);
}

/** Resolves when the server is at that statement. */
async function running(statement: string): Promise<void> {
  await eventually(
    () => shared.query("select from pg_stat_activity where query = $1 and state = 'active'", [statement]),
    ({ length }) => length > 0,
  );
}

async function answers(database: Database): Promise<boolean> {
  const { rows } = await query(database, sql`select 1 as one`);
  return rows[0]?.one === 1;
}

/** Rejects, soon, with what is worth another try. */
async function failsSoon(t: Test, work: Promise<unknown>, what: string | RegExp): Promise<void> {
  const startedAt = performance.now();
  const error = await work.then(
    () => t.fail("it succeeded"),
    (thrown: unknown) => thrown,
  );
  t.ok(performance.now() - startedAt < SOON_MS, "soon");
  t.ok(isTransient(error), "and it is worth another try");
  t.match(describeError(error), what);
}

t.test("a statement that nobody answers fails, and all connections of before are replaced", async (t) => {
  const { proxy, database } = await openThroughProxy(t, { maxConnections: 4 });
  await Promise.all([1, 2, 3, 4].map(() => database.db.execute(sql`select pg_sleep(0.05)`)));
  t.equal(proxy.open, 4);
  proxy.losePower();
  await failsSoon(t, answers(database), /no answer for \d+ s; look at the database's host, and at the network/);
  const failedAt = performance.now();
  await eventually(
    async () => proxy.open,
    (open) => open === 0,
  );
  t.ok(performance.now() - failedAt < SOON_MS, "those that are idle are cut with it");
  proxy.resume();
  t.ok(await answers(database), "nobody else waits for a connection that is dead");
});

t.test("a transaction whose first, middle or last statement nobody answers gives its connection back", async (t) => {
  const { proxy, database } = await openThroughProxy(t, { maxConnections: 1 });
  t.ok(await answers(database));
  const silentIn = (step: string, at: string) => {
    if (step === at) proxy.losePower();
  };
  for (const at of ["begin", "statement", "commit"]) {
    silentIn("begin", at);
    const work = database.transaction(async (tx) => {
      silentIn("statement", at);
      await tx.execute(sql`select 1`);
      silentIn("commit", at);
    });
    await failsSoon(t, work, /no answer for \d+ s/);
    proxy.resume();
    t.ok(await answers(database), at);
  }
});

t.test("connecting into silence fails, and is given up when it is to end", async (t) => {
  const { proxy, database } = await openThroughProxy(t);
  proxy.losePower();
  await failsSoon(t, answers(database), /no connection to the database at 127\.0\.0\.1:\d+: no answer for \d+ s/);
  const ending = new AbortController();
  const policy = { statementTimeoutMs: 60_000, connectTimeoutMs: 60_000, signal: ending.signal };
  const connecting = openConnection(proxy.through(shared.url), policy);
  await eventually(
    async () => proxy.open,
    (open) => open > 0,
  );
  ending.abort(new Error("told to end"));
  await t.rejects(connecting, { message: /told to end/ });
});

t.test("closing does not wait for a database that is silent", async (t) => {
  const { proxy, database } = await openThroughProxy(t, { statementTimeoutMs: 60_000, maxConnections: 2 });
  await Promise.all([1, 2].map(() => query(database, sql`select pg_sleep(0.05)`)));
  const hung = t.rejects(query(database, sql`select pg_sleep(60)`));
  await running("select pg_sleep(60)");
  proxy.losePower();
  const startedAt = performance.now();
  await Promise.all([hung, database.close()]);
  t.ok(performance.now() - startedAt < SOON_MS);
  await eventually(
    async () => proxy.open,
    (open) => open === 0,
  );
});

t.test("a transaction may be given more time, on both sides", async (t) => {
  const database = openDatabase({ url: shared.url, ...SHORT, statementTimeoutMs: 1, maxConnections: 1 });
  t.teardown(() => database.close());
  const sleep = (tx: Transaction) => tx.execute(sql`select pg_sleep(1.2)`);
  await database.transaction(sleep, { statementTimeoutMs: 30_000 });
  await t.rejects(
    database.transaction(sleep),
    { cause: { code: "57014" } },
    "and the next one has no more than others",
  );
});

t.test("a stall of this process is not taken for one of the database", async (t) => {
  const database = openDatabase({ url: shared.url, ...SHORT, maxConnections: 1 });
  t.teardown(() => database.close());
  t.ok(await answers(database));
  const answer = answers(database);
  await new Promise((resolve) => setImmediate(resolve));
  // Longer than the deadline, and the answer comes meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
  t.ok(await answer);
});

t.test("whatever a database refuses a connection for is passing: it may be gone with the next attempt", async (t) => {
  const { port } = new URL(shared.url);
  for (const url of [`postgres://nobody:wrong@127.0.0.1:${port}/x`, shared.url.replace(/[^/]+$/, "nothing")]) {
    const refusal = await openConnection(url, SHORT).catch((error: unknown) => error);
    t.ok(isTransient(refusal), describeError(refusal));
  }
});

t.test("a network that is only slow changes nothing; one that cuts costs the statement", async (t) => {
  const { proxy, database } = await openThroughProxy(t, { statementTimeoutMs: 30_000, maxConnections: 1 });
  t.ok(await answers(database));
  proxy.silence();
  const slow = answers(database);
  await new Promise((resolve) => setImmediate(resolve));
  proxy.resume();
  t.ok(await slow);

  const lost = /(ECONNRESET|Connection terminated unexpectedly); (look at the database's host|wait until)/;
  const working = query(database, sql`select pg_sleep(30)`);
  await running("select pg_sleep(30)");
  proxy.cut();
  await failsSoon(t, working, lost);
  t.ok(await answers(database));
  proxy.cutAfter(100, "to client");
  await failsSoon(t, query(database, sql`select repeat('x', 100000)`), lost);
  t.ok(await answers(database));
});

t.test("a session of a server that came to be read-only is not used again", async (t) => {
  const database = openDatabase({ url: shared.url, maxConnections: 2 });
  t.teardown(() => database.close());
  const name = new URL(shared.url).pathname.slice(1);
  const write = () => database.transaction((tx) => tx.execute(sql`create table scratch (id text)`));
  await shared.query(`alter database ${name} set default_transaction_read_only = on`);
  await failsSoon(
    t,
    write(),
    /the database refuses: cannot execute CREATE TABLE in a read-only transaction; name a server/,
  );
  await shared.query(`alter database ${name} reset default_transaction_read_only`);
  await write();
  await database.db.execute(sql`drop table scratch`);
});

t.test("sessions are as the statements expect, whatever database, role, environment and URL say", async (t) => {
  const odd: TestDatabase = await createTestDatabase(t);
  const name = new URL(odd.url).pathname.slice(1);
  const settings: Record<string, string> = {
    DateStyle: "SQL, DMY",
    IntervalStyle: "sql_standard",
    TimeZone: "Asia/Kolkata",
    search_path: "elsewhere",
    standard_conforming_strings: "off",
    default_transaction_isolation: "serializable",
    bytea_output: "escape",
    array_nulls: "off",
    extra_float_digits: "-15",
    statement_timeout: "0",
    lock_timeout: "0",
    idle_in_transaction_session_timeout: "0",
    idle_session_timeout: "5s",
  };
  for (const [setting, value] of Object.entries(settings)) {
    await odd.query(`alter database ${name} set ${setting} = '${value}'`);
  }
  process.env.PGOPTIONS = "-c statement_timeout=0 -c geqo=off";
  t.teardown(() => {
    delete process.env.PGOPTIONS;
  });
  const options = Object.entries(settings).map(([setting, value]) => `-c ${setting}=${value.replaceAll(" ", "\\ ")}`);
  const query = `options=${encodeURIComponent([...options, "-c work_mem=5MB"].join(" "))}&application_name=mine`;
  const database = openDatabase({ url: `${odd.url}?${query}`, purpose: "test" });
  t.teardown(() => database.close());
  const shown = [...Object.keys(settings), "work_mem", "application_name", "geqo"];
  const { rows } = await database.db.execute<{ name: string; value: string }>(
    sql`select name, current_setting(name) as value from unnest(${sql.param(shown)}::text[]) as s(name)`,
  );
  t.same(Object.fromEntries(rows.map(({ name, value }) => [name, value])), {
    DateStyle: "ISO, MDY",
    IntervalStyle: "postgres",
    TimeZone: "UTC",
    search_path: "public",
    standard_conforming_strings: "on",
    default_transaction_isolation: "read committed",
    bytea_output: "hex",
    array_nulls: "on",
    extra_float_digits: "1",
    statement_timeout: "30s",
    lock_timeout: "5s",
    idle_in_transaction_session_timeout: "10s",
    idle_session_timeout: "0",
    work_mem: "5MB",
    application_name: "mine test",
    geqo: "on",
  });
});

t.test("TCP asks an idle connection whether it is there", { skip: process.platform !== "linux" }, async (t) => {
  const connection = await openConnection(shared.url, SHORT);
  t.teardown(() => connection.end());
  const port = (connection.connection.stream as Socket).localPort ?? 0;
  const local = `: 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  const sockets = async () => (await readFile("/proc/net/tcp", "utf8")).split("\n");
  // 01 is the timer of what is not acknowledged so far, 02 that of keepalive.
  await eventually(sockets, (lines) => lines.some((line) => line.includes(local) && / 02:[0-9A-F]{8} /.test(line)));
});

t.test("what is no PostgreSQL is told from one", async (t) => {
  for (const [what, greeting] of Object.entries({
    "another protocol": "5.5.5-10.11.6-MariaDB\0",
    "an HTTP server": "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
  })) {
    const server = createServer((socket) =>
      socket
        .on("error", () => {})
        .resume()
        .end(greeting),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as { port: number };
    await failsSoon(t, openConnection(`postgres://u@127.0.0.1:${port}/x`, SHORT), /^no connection to the database at /);
    t.pass(what);
  }
});
