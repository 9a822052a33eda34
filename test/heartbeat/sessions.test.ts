import t, { type Test } from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { AT_ONCE, callerOf, createTestSessions, rawReport, TestSessionStream } from "../support/agents/sessions.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { connectTo, createTestDatabase, untilLockedOut } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";
import { eventually } from "../support/eventually.js";

async function setUp(t: Test, agentCount: number) {
  const test = await createTestDatabase(t);
  const agents = await insertAgentRows(test, agentCount);
  const database = openDatabase({ url: test.url, maxConnections: 5 });
  t.teardown(() => database.close());
  return { ...test, agents, callers: agents.map(callerOf), database, ...createTestSessions(database) };
}

const statusOf = (query: (text: string) => Promise<Record<string, unknown>[]>) => async () => {
  const [row] = await query("select a.status, h.status as host from agents a join hosts h on h.agent_id = a.id");
  return `${row?.status} ${row?.host}`;
};

t.test("streams that open together share the statements that open them", async (t) => {
  const COUNT = 150;
  const { callers, hold, query } = await setUp(t, COUNT);
  const streams = callers.map(() => new TestSessionStream());
  let held: Promise<void>[] = [];
  const statements = await recordStatements(async () => {
    held = streams.map((stream, index) => hold(callers[index] as (typeof callers)[number], stream));
    await Promise.all(streams.map((stream) => stream.send()));
  });
  t.ok(statements.length <= 12, `${statements.length} statements for ${COUNT} streams and their first heartbeats`);
  t.match(await query("select count(*)::int from ingest.agent_sessions where epoch = 1 and closed_at is null"), [
    { count: COUNT },
  ]);
  t.match(await query("select count(*)::int from host_metrics"), [{ count: COUNT }]);
  for (const stream of streams) stream.leave();
  await Promise.all(held);
  t.match(await query("select count(*)::int from agents where status = 'offline'"), [{ count: COUNT }]);
});

t.test("of two streams of one agent that open together the later one stays", async (t) => {
  const { callers, hold, query } = await setUp(t, 1);
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const [earlier, later] = [new TestSessionStream(), new TestSessionStream()];
  const displaced = hold(caller, earlier);
  const held = hold(caller, later);
  void earlier.send();
  const acknowledged = later.send();
  await t.rejects(displaced, { code: "session_displaced" });
  await acknowledged;
  t.match(await query("select epoch::int from ingest.agent_sessions"), [{ epoch: 2 }]);
  t.equal(await statusOf(query)(), "active online");
  later.leave();
  await held;
  await eventually(statusOf(query), (status) => status === "offline offline");
});

t.test(
  "what was revoked between the opening of a stream and its first message is found, and takes no epoch",
  async (t) => {
    const { callers, sessions, hold, query } = await setUp(t, 1);
    const [caller] = callers;
    if (caller === undefined) throw new Error("no caller");
    await query("insert into revoked_certificates (id, organisation_id, serial) values ('r', 'organisation', '1')");
    const stream = new TestSessionStream();
    const held = hold(caller, stream);
    void stream.send();
    await t.rejects(held, { code: "client_certificate_invalid", message: /was revoked/ });
    t.same(await query("select from ingest.agent_sessions"), []);
    await eventually(
      async () => sessions.open.size,
      (size) => size === 0,
    );
  },
);

t.test("an agent that somebody deletes keeps no other one waiting, and is told that it is gone", async (t) => {
  const { callers, hold, query, url } = await setUp(t, 2);
  const deleting = await connectTo(t, url);
  await deleting.query("begin; delete from hosts where id = 'host-1'; delete from agents where id = 'agent-1'");
  const [doomed, other] = [new TestSessionStream(), new TestSessionStream()];
  const [first, second] = callers;
  if (first === undefined || second === undefined) throw new Error("no caller");
  const refused = hold(first, doomed);
  void doomed.send();
  hold(second, other);
  await other.send();
  await deleting.query("commit");
  await t.rejects(refused, { code: "agent_not_found" });
  t.match(await query("select agent_id from ingest.agent_sessions"), [{ agent_id: "agent-2" }]);
});

t.test("of two streams that an agent opened while it was locked the one that is over takes no epoch", async (t) => {
  const { callers, sessions, hold, query, url } = await setUp(t, 1);
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const holder = await connectTo(t, url);
  await holder.query("begin; select from agents for update");
  const [broken, last] = [new TestSessionStream(), new TestSessionStream()];
  const held = hold(caller, broken);
  void broken.send();
  await eventually(
    () =>
      query("select from pg_stat_activity where datname = current_database() and query like '%key share skip locked%'"),
    ({ length }) => length > 1,
  );
  broken.cut();
  await t.rejects(held, /the connection broke/);
  hold(caller, last);
  const acknowledged = last.send();
  await holder.query("commit");
  await acknowledged;
  await eventually(
    async () => sessions.open.size,
    (size) => size === 1,
  );
  t.match(await query("select epoch::int from ingest.agent_sessions"), [{ epoch: 1 }]);
  await last.send();
});

t.test("while it drains, no stream takes an epoch", async (t) => {
  const { callers, sessions, hold, query, lines } = await setUp(t, 3);
  const [silent, open, late] = callers;
  if (silent === undefined || open === undefined || late === undefined) throw new Error("no caller");
  const waits = hold(silent, new TestSessionStream());
  const stream = new TestSessionStream();
  const held = hold(open, stream);
  await stream.send();
  const drained = sessions.drain(AT_ONCE);
  await t.rejects(waits, { code: "draining" }, "also a stream whose first message did not come yet");
  await t.rejects(held, { code: "draining" });
  await t.rejects(hold(late, new TestSessionStream()), { code: "draining" });
  await drained;
  t.same(await query("select agent_id from ingest.agent_sessions"), [{ agent_id: open.agentId }]);
  t.equal(lines.filter(({ msg }) => msg === "heartbeat stream opened").length, 1);
});

t.test("what was read before a drain is stored and acknowledged first", async (t) => {
  const { callers, sessions, hold, query, url } = await setUp(t, 1);
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const stream = new TestSessionStream();
  const held = hold(caller, stream);
  await stream.send();
  const holder = await connectTo(t, url);
  await holder.query("begin; lock table host_metrics in exclusive mode");
  const acknowledged = stream.send(rawReport({ cpuPercent: 77 }));
  await untilLockedOut({ query });
  const order: string[] = [];
  void acknowledged.then(() => order.push("acknowledged"));
  const ended = held.catch(({ code }) => order.push(code));
  const drained = sessions.drain(AT_ONCE);
  await holder.query("commit");
  await ended;
  await drained;
  t.same(order, ["acknowledged", "draining"]);
  t.match(await query("select cpu_percent from hosts"), [{ cpu_percent: 77 }]);
});

t.test("a session ends at once, whatever is under way, and its end is stored after what it stored", async (t) => {
  const { callers, sessions, hold, query, url } = await setUp(t, 1);
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const stream = new TestSessionStream();
  const held = hold(caller, stream);
  await stream.send();
  const holder = await connectTo(t, url);
  await holder.query("begin; lock table host_metrics in exclusive mode");
  void stream.send(rawReport({ cpuPercent: 77 }));
  await untilLockedOut({ query });
  const [session] = sessions.open;
  t.equal(session?.silentMs, 0, "an agent whose message waits for the database is not silent");
  stream.cut();
  await t.rejects(held, /the connection broke/);
  await holder.query("commit");
  await eventually(
    async () => sessions.open.size,
    (size) => size === 0,
  );
  t.match(await query("select cpu_percent from hosts"), [{ cpu_percent: 77 }]);
  t.equal(await statusOf(query)(), "offline offline");
});

for (const { table, before, none } of [
  {
    table: "revoked_certificates",
    before: "it is looked at",
    none: "ingest.agent_sessions where agent_id = 'agent-1'",
  },
  { table: "ingest.agent_sessions", before: "it has its epoch", none: "host_metrics where host_id = 'host-1'" },
]) {
  t.test(`a stream that is over before ${before} leaves nothing in ${none}`, async (t) => {
    const { callers, hold, query, url } = await setUp(t, 2);
    const [gone, other] = callers;
    if (gone === undefined || other === undefined) throw new Error("no caller");
    const holder = await connectTo(t, url);
    await holder.query(`begin; lock table ${table} in access exclusive mode`);
    const [broken, stream] = [new TestSessionStream(), new TestSessionStream()];
    const held = hold(gone, broken);
    void broken.send();
    await untilLockedOut({ query });
    broken.cut();
    await t.rejects(held, /the connection broke/);
    await holder.query("commit");
    // What the first one had begun would be stored before.
    hold(other, stream);
    await stream.send();
    await stream.send();
    t.same(await query(`select from ${none}`), []);
  });
}

t.test("an agent that reads nothing is let go all the same, and its stream reset", async (t) => {
  const { callers, sessions, hold, query } = await setUp(t, 1);
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const stream = new TestSessionStream();
  stream.reads = false;
  const held = hold(caller, stream);
  void stream.send();
  await eventually(statusOf(query), (status) => status === "active online");
  const [session] = sessions.open;
  const drained = sessions.drain(AT_ONCE);
  await eventually(
    async () => stream.resets,
    (resets) => resets === 1,
  );
  await t.rejects(held);
  await drained;
  t.notOk(session !== undefined && sessions.open.has(session));
});

t.test("an agent that sends too fast is read more slowly, and loses nothing", async (t) => {
  const test = await createTestDatabase(t);
  const callers = (await insertAgentRows(test, 2)).map(callerOf);
  const database = openDatabase({ url: test.url, maxConnections: 5 });
  t.teardown(() => database.close());
  const { hold, lines, sessions } = createTestSessions(database, { pace: { perMinute: 100, burst: 3 } });
  const [fast, slow] = callers.map((caller) => {
    const stream = new TestSessionStream();
    hold(caller, stream);
    return stream;
  });
  if (fast === undefined || slow === undefined) throw new Error("no stream");
  const startedAt = performance.now();
  const sent = Array.from({ length: 4 }, (_, n) => fast.send(rawReport({ cpuPercent: n })));
  await slow.send();
  await Promise.all(sent);
  t.ok(performance.now() - startedAt >= 590, "the fourth one had to wait for its turn");
  t.match(await test.query("select count(*)::int from host_metrics where host_id = 'host-1'"), [{ count: 4 }]);
  const told = lines.filter(({ msg }) => msg === "an agent sends too fast, it is read more slowly");
  t.match(told, [{ agentId: "agent-1", heartbeats: 1 }], "with one line");
  void fast.send();
  await sessions.drain(AT_ONCE);
});

t.test("an extra message that brings results and repeats the last sample adds no sample", async (t) => {
  let now = Date.parse("2026-01-01T00:00:00Z");
  const { callers, query, database } = await setUp(t, 1);
  const { sessions } = createTestSessions(database, { now: () => new Date(now) });
  const [caller] = callers;
  if (caller === undefined) throw new Error("no caller");
  const stream = new TestSessionStream();
  const held = sessions.hold(caller, "192.0.2.1", stream);
  const samples = async () => (await query("select count(*)::int as n from host_metrics"))[0]?.n;
  const send = async (afterS: number, fields: Parameters<typeof rawReport>[0]) => {
    now += afterS * 1_000;
    await query("update agents set last_heartbeat_at = null");
    await stream.send(rawReport(fields));
    t.match(await query("select from agents where last_heartbeat_at is not null"), [{}], "it is a sign of life");
    return samples();
  };
  t.equal(await send(0, { results: "work" }), 1, "the first one repeats nothing");
  t.equal(await send(1, { results: "work", timestampUnix: 6n }), 1);
  t.equal(await send(1, { results: "checks", timestampUnix: 7n }), 1);
  t.equal(await send(1, { results: "work", cpuPercent: 2 }), 2, "another sample");
  t.equal(await send(1, { results: "none", cpuPercent: 2 }), 3, "a regular message");
  t.equal(await send(14, { results: "work", cpuPercent: 2 }), 3);
  t.equal(await send(2, { results: "work", cpuPercent: 2 }), 4, "half an interval after the last sample");
  stream.leave();
  await held;
});
