import t, { type Test } from "tap";
import type { AgentStatusMessage, MetricsMessage } from "../../dist/broker/messages/index.js";
import { createClosedOutbox, type Outbox } from "../../dist/outbox/outbox.js";
import { Lanes } from "../../dist/outbox/publishing/lanes.js";
import { PublishingOutbox } from "../../dist/outbox/publishing/publishing-outbox.js";
import { openQueue, type QueueTiming } from "../../dist/outbox/queue.js";
import { createStoringOutbox } from "../../dist/outbox/storing-outbox.js";
import { type Database, openDatabase } from "../../dist/store/database.js";
import { readBacklog, readDroppedMessages, readUnroutable } from "../../dist/store/outbox/backlog.js";
import { takeOutboxRows } from "../../dist/store/outbox/outbox-rows.js";
import { listPublishers } from "../../dist/store/outbox/publishers.js";
import { retryUnroutableMessages } from "../../dist/store/outbox/unroutable-messages.js";
import { FakePublisher } from "../support/broker/fake-publisher.js";
import { connectTo, createTestDatabase, setReachable, type TestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

interface Scene {
  database: TestDatabase;
  store: Database;
}

async function openScene(t: Test): Promise<Scene> {
  const database = await createTestDatabase(t);
  const store = openDatabase({ url: database.url, maxConnections: 4 });
  t.teardown(() => store.close());
  return { database, store };
}

/** One instance's way to a broker that does what the test says. */
async function startQueue(t: Test, { store }: Scene, options: { timing?: QueueTiming; maxRows?: number } = {}) {
  const { logger, lines } = createTestLog();
  const publisher = new FakePublisher();
  const queue = await openQueue({
    database: store,
    createPublisher: (onReady) => {
      publisher.onReady = onReady;
      return publisher;
    },
    instanceId: "one",
    maxRows: options.maxRows ?? 1_000,
    logger,
    timing: { relayPollMs: 20, ...options.timing },
  });
  t.teardown(() => queue.close());
  return Object.assign(queue, { publisher, lines });
}

function metrics(id: string): MetricsMessage {
  return {
    message_id: id,
    agent_id: "a",
    org_id: "o",
    host_id: "h",
    timestamp: 1,
    recorded_at: "2027-01-15T08:00:00.000Z",
    cpu: 1,
    memory: 1,
    disk: 1,
    uptime: 1,
    agent_version: "v1",
    os_version: "\u0000 \ud800",
  };
}

function status(id: string): AgentStatusMessage {
  const at = "2027-01-15T08:00:00.000Z";
  return { message_id: id, agent_id: "a", host_id: "h", org_id: "o", from: "active", to: "offline", reason: "", at };
}

function commitMetrics(outbox: Outbox, { store }: Scene, ...ids: string[]): Promise<void> {
  return outbox.transaction(store, async (_, outgoing) => outgoing.publish("metrics.raw", () => ids.map(metrics)));
}

function commitStatus(outbox: Outbox, { store }: Scene, ...ids: string[]): Promise<void> {
  return outbox.transaction(store, async (_, outgoing) => outgoing.publish("agent.status", () => ids.map(status)));
}

async function countRows({ database }: Scene): Promise<number> {
  const [row] = await database.query("select count(*)::int as rows from ingest.outbox");
  return row?.rows;
}

function untilEmpty(scene: Scene): Promise<number> {
  return eventually(
    () => countRows(scene),
    (rows) => rows === 0,
  );
}

function idsOf(messages: readonly { id: string }[]): string[] {
  return messages.map(({ id }) => id);
}

t.test("what is committed is published, and nothing else", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene);
  publisher.isReady = true;
  await outbox.transaction(scene.store, async (_, outgoing) => {
    outgoing.publish("metrics.raw", () => [metrics("m1"), metrics("m2")]);
    outgoing.publish("agent.status", () => [status("s1")]);
    outgoing.publish("metrics.raw", () => [metrics("m3")]);
    outgoing.publish("events.raw", () => []);
  });
  await t.rejects(
    outbox.transaction(scene.store, async (_, outgoing) => {
      outgoing.publish("metrics.raw", () => [metrics("m4")]);
      throw new Error("rolled back");
    }),
    { message: "rolled back" },
  );
  await untilEmpty(scene);
  t.same(publisher.confirmed, [
    { topic: "metrics.raw", id: "m1" },
    { topic: "metrics.raw", id: "m2" },
    { topic: "metrics.raw", id: "m3" },
    { topic: "agent.status", id: "s1" },
  ]);
});

t.test("nobody who waits for the commit waits for the broker", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene);
  publisher.isReady = true;
  let confirm: () => void = () => {};
  const confirmed = new Promise<"confirmed">((resolve) => {
    confirm = () => resolve("confirmed");
  });
  publisher.decide = () => confirmed;
  await commitMetrics(outbox, scene, "m1");
  await eventually(
    async () => publisher.sent.length,
    (sent) => sent === 1,
  );
  t.same(await scene.database.query("select message_count, leased_until > now() as leased from ingest.outbox"), [
    { message_count: 1, leased: true },
  ]);
  confirm();
  await untilEmpty(scene);
});

t.test("while the broker is away rows gather; then the oldest go first, and new metrics do not wait", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene);
  for (const n of [1, 2, 3]) {
    await commitMetrics(outbox, scene, `m${n}`);
    await commitStatus(outbox, scene, `s${n}`);
  }
  t.equal(await countRows(scene), 6);
  t.same(publisher.sent, []);
  publisher.isReady = true;
  await untilEmpty(scene);
  t.same(
    idsOf(publisher.confirmed).filter((id) => id.startsWith("m")),
    ["m1", "m2", "m3"],
  );
  t.same(
    idsOf(publisher.confirmed).filter((id) => id.startsWith("s")),
    ["s1", "s2", "s3"],
  );
});

t.test("status and events never overtake what is left over, metrics do after a failure", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene, { timing: { relayPollMs: 60_000 } });
  await commitMetrics(outbox, scene, "m1");
  await commitStatus(outbox, scene, "s1");
  // The broker is back, and the relay has not looked yet.
  publisher.onReady = () => {};
  publisher.isReady = true;
  await commitMetrics(outbox, scene, "m2");
  await eventually(
    async () => idsOf(publisher.confirmed),
    (ids) => ids.includes("m2"),
  );
  t.same(idsOf(publisher.confirmed), ["m2"], "new metrics go at once");
  // A row that is left although the broker is there wakes the relay.
  await commitStatus(outbox, scene, "s2");
  await untilEmpty(scene);
  t.same(
    idsOf(publisher.confirmed).filter((id) => id.startsWith("s")),
    ["s1", "s2"],
  );
  await commitStatus(outbox, scene, "s3");
  await untilEmpty(scene);
});

t.test("a broker slower than the agents: what is in flight is bounded, and the order stays", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene);
  publisher.isReady = true;
  let release: () => void = () => {};
  const slow = new Promise<"confirmed">((resolve) => {
    release = () => resolve("confirmed");
  });
  publisher.decide = () => slow;
  const batch = (n: number) => Array.from({ length: 500 }, (_, index) => `${n}-${index}`);
  for (let n = 1; n <= 20; n++) await commitMetrics(outbox, scene, ...batch(n));
  t.ok(publisher.sent.length <= 6_000, `${publisher.sent.length} messages in flight`);
  release();
  await untilEmpty(scene);
  t.same(idsOf(publisher.confirmed), Array.from({ length: 20 }, (_, n) => batch(n + 1)).flat());
});

t.test("what the broker refuses stays, without what it took, and is tried again", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene);
  publisher.isReady = true;
  publisher.decide = (_, { id }) => (id === "m2" ? "refused" : "confirmed");
  await commitMetrics(outbox, scene, "m1", "m2", "m3");
  const left = await eventually(
    () => scene.database.query("select message_count, messages, leased_until from ingest.outbox"),
    ([row]) => row?.message_count === 1,
  );
  t.match(left, [{ messages: [{ message_id: "m2" }], leased_until: null }]);
  await commitStatus(outbox, scene, "s1");
  await eventually(
    async () => idsOf(publisher.confirmed),
    (ids) => ids.includes("s1"),
  );
  t.pass("other topics do not wait for it");
  const tries = () => idsOf(publisher.sent).filter((id) => id === "m2").length;
  t.ok(tries() <= 2, "it is not tried over and over");
  publisher.decide = () => "confirmed";
  await untilEmpty(scene);
  t.same(idsOf(publisher.confirmed).sort(), ["m1", "m2", "m3", "s1"]);
});

t.test("what no queue is bound for is set aside, and published again on request", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher, lines } = await startQueue(t, scene, { timing: { upkeep: { boundsMs: 20 } } });
  publisher.isReady = true;
  publisher.decide = (_, { id }) => (id === "m2" ? "unroutable" : "confirmed");
  await commitMetrics(outbox, scene, "m1", "m2");
  await untilEmpty(scene);
  t.match(await readUnroutable(scene.store.db), [{ topic: "metrics.raw", rows: 1, messages: 1 }]);
  await eventually(
    async () => lines,
    (all) => all.some(({ msg }) => /no queue takes messages/.test(msg)),
  );

  t.equal(await retryUnroutableMessages(scene.store.db), 1, "once, although no queue is bound yet");
  await eventually(
    () => readUnroutable(scene.store.db),
    (aside) => aside.length === 1,
  );

  publisher.decide = () => "confirmed";
  t.equal(await retryUnroutableMessages(scene.store.db), 1);
  t.equal(await retryUnroutableMessages(scene.store.db), 0);
  await untilEmpty(scene);
  t.same(idsOf(publisher.confirmed), ["m1", "m2"]);
});

t.test("what is no message is set aside and told of once, and holds up nothing", async (t) => {
  const scene = await openScene(t);
  const good = (id: string) => JSON.stringify(metrics(id));
  const strange = ["null", "7", '{"a":1}', '[null, "x", {"cpu": 1}]', `[{"message_id": "${"i".repeat(256)}"}]`];
  const rows = [...strange, `[${good("m1")}, [], ${good("m2")}]`, `[${good("m3")}]`];
  const written = await scene.database.query<{ id: string }>(
    `insert into ingest.outbox (topic, messages, message_count, created_at)
     select 'metrics.raw', row::json, 1, now() from unnest($1::text[]) as row returning id`,
    [rows],
  );
  const { publisher, lines } = await startQueue(t, scene);
  publisher.isReady = true;
  await untilEmpty(scene);
  t.same(idsOf(publisher.confirmed), ["m1", "m2", "m3"]);
  const ids = written.slice(0, -1).map(({ id }) => Number(id));
  const told = lines.filter(({ msg }) => /holds what is no message/.test(`${msg}`));
  t.same(
    told.map(({ id, topic, messages }) => ({ id, topic, messages })),
    ids.map((id, index) => ({ id, topic: "metrics.raw", messages: index === 3 ? 3 : 1 })),
  );
  const aside = await scene.database.query("select messages from ingest.unroutable_messages order by id");
  t.same(
    aside.flatMap(({ messages }) => messages),
    [null, 7, { a: 1 }, null, "x", { cpu: 1 }, { message_id: "i".repeat(256) }, []],
  );
});

t.test("what is set aside is bounded, the oldest go", async (t) => {
  const scene = await openScene(t);
  await scene.database.query(
    `insert into ingest.unroutable_messages (topic, messages, message_count, created_at)
     select topic, '[]', 2, now() from generate_series(1, 10005), unnest(array['metrics.raw', 'x']) as t(topic)
     where topic <> 'x' or generate_series <= 3`,
  );
  const { lines } = await startQueue(t, scene, { timing: { upkeep: { boundsMs: 20 } } });
  const kept = await eventually(
    () => readUnroutable(scene.store.db),
    (topics) => topics[0]?.rows === 10_000,
  );
  t.match(kept, [{ topic: "metrics.raw" }, { topic: "x", rows: 3 }]);
  const [oldest] = await scene.database.query(
    "select min(id)::int as id from ingest.unroutable_messages where topic <> 'x'",
  );
  t.ok(oldest?.id > 5);
  await eventually(
    () => readDroppedMessages(scene.store.db),
    ([dropped]) => dropped?.messages === 10 && dropped.from === "unroutable",
  );
  t.ok(lines.some(({ level, messages }) => level === "error" && messages === 10));
});

t.test("the outbox is bounded: the oldest metrics go, never status or events", async (t) => {
  const scene = await openScene(t);
  const queue = await startQueue(t, scene, { maxRows: 5, timing: { upkeep: { boundsMs: 20 } } });
  const { outbox, lines } = queue;
  for (const n of [1, 2, 3]) await commitStatus(outbox, scene, `s${n}`);
  for (const n of [1, 2, 3, 4]) await commitMetrics(outbox, scene, `m${n}`, `n${n}`);
  await eventually(
    () => countRows(scene),
    (rows) => rows === 5,
  );
  t.match(
    await scene.database.query("select topic, messages from ingest.outbox where topic = 'metrics.raw' order by id"),
    [{ messages: [{ message_id: "m3" }, {}] }, { messages: [{ message_id: "m4" }, {}] }],
  );
  await eventually(
    () => readDroppedMessages(scene.store.db),
    ([dropped]) => dropped?.messages === 4 && dropped.topic === "metrics.raw" && dropped.from === "outbox",
  );
  const said = lines.filter(({ level }) => level === "error");
  t.match(said[0], { maxRows: 5 });
  // Read at each look, after what was dropped is counted.
  await eventually(
    async () => queue.figures.dropped,
    (dropped) => dropped.length > 0,
  );
  t.match(queue.figures, {
    connected: false,
    confirmed: 0,
    lastError: { message: "not connected" },
    backlog: [{ topic: "agent.status" }, { topic: "metrics.raw" }],
    unroutable: [],
    dropped: [{ topic: "metrics.raw" }],
  });
  t.equal(
    said.reduce((sum, { messages }) => sum + Number(messages), 0),
    4,
  );
  for (const n of [4, 5, 6]) await commitStatus(outbox, scene, `s${n}`);
  await eventually(
    () => readBacklog(scene.store.db),
    (topics) => topics.length === 1 && topics[0]?.rows === 6,
  );
});

t.test("long messages count as many: memory is bounded by what they take", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene);
  publisher.isReady = true;
  publisher.decide = () => new Promise(() => {});
  for (let n = 0; n < 3; n++) {
    const long = { ...metrics(`long ${n}`), os_version: "x".repeat(8_000_000) };
    await outbox.transaction(scene.store, async (_, outgoing) => outgoing.publish("metrics.raw", () => [long]));
  }
  const rows = await eventually(
    () => scene.database.query("select leased_until from ingest.outbox order by id"),
    () => true,
  );
  t.match(rows, [{ leased_until: Date }, { leased_until: Date }, { leased_until: null }]);
});

t.test("a transaction that runs again leaves nothing behind of its first run", async (t) => {
  const scene = await openScene(t);
  await scene.database.query(`
    create sequence public.commits;
    create function public.fail_first() returns trigger language plpgsql as $$
    begin
      if nextval('public.commits') = 1 then raise exception using errcode = '40001'; end if;
      return null;
    end $$;
    create constraint trigger fails after insert on ingest.outbox deferrable initially deferred
      for each row execute function public.fail_first()`);
  const lanes = new Lanes();
  const options = {
    lanes,
    publisher: new FakePublisher(),
    deliveries: undefined as never,
    leaseMs: 1,
    onLeft: () => {},
  };
  await commitMetrics(new PublishingOutbox(options), scene, "m1");
  t.equal(await countRows(scene), 1);
  lanes.catchUp("metrics.raw", lanes.mark("metrics.raw"));
  t.ok(lanes.isFree("metrics.raw"), "new messages may go straight to the broker");
});

t.test("two instances relay at once: each row is published by one", async (t) => {
  const scene = await openScene(t);
  const storing = createStoringOutbox();
  const ids = Array.from({ length: 300 }, (_, n) => `m${n}`);
  for (const id of ids) await commitMetrics(storing, scene, id);
  const [one, two] = await Promise.all([startQueue(t, scene), startQueue(t, scene)]);
  one.publisher.isReady = true;
  two.publisher.isReady = true;
  await untilEmpty(scene);
  const sent = [...idsOf(one.publisher.sent), ...idsOf(two.publisher.sent)];
  t.same(sent.sort(), [...ids].sort(), "none missing, none repeated");
});

t.test("what another one takes at the moment is passed over, and taken once", async (t) => {
  const scene = await openScene(t);
  const storing = createStoringOutbox();
  for (const id of ["m0", "m1", "m2"]) await commitMetrics(storing, scene, id);
  const other = await connectTo(t, scene.database.url);
  await other.query("begin; select from ingest.outbox order by id limit 1 for update");
  const take = async () =>
    (await takeOutboxRows(scene.store.db, { topic: "metrics.raw", maxMessages: 9, leaseMs: 60_000 })).flatMap(
      ({ messages }) => (messages as MetricsMessage[]).map(({ message_id }) => message_id),
    );
  t.same(await take(), ["m1", "m2"], "not waited for");
  await other.query("commit");
  t.same(await take(), ["m0"]);
});

t.test("an instance that dies between commit and confirm: another one takes over", async (t) => {
  const scene = await openScene(t);
  const timing = { leaseMs: 300 };
  const dying = await startQueue(t, scene, { timing: { ...timing, relayPollMs: 60_000 } });
  dying.publisher.isReady = true;
  dying.publisher.decide = () => new Promise(() => {});
  await commitMetrics(dying.outbox, scene, "m1");
  await eventually(
    async () => dying.publisher.sent.length,
    (sent) => sent === 1,
  );
  const other = await startQueue(t, scene, { timing });
  other.publisher.isReady = true;
  await commitMetrics(other.outbox, scene, "m2");
  await eventually(
    async () => idsOf(other.publisher.confirmed),
    (ids) => ids.includes("m2"),
  );
  // Three leases long the other one leaves it alone, since it lives.
  const until = performance.now() + 3 * timing.leaseMs;
  await eventually(
    async () => performance.now(),
    (now) => now > until,
  );
  t.same(idsOf(other.publisher.sent), ["m2"]);
  // Nobody renews the lease any more, as if the instance had been killed.
  await scene.database.query("update ingest.outbox set leased_until = now() - interval '1 ms', id = default");
  await eventually(
    async () => idsOf(other.publisher.confirmed),
    (ids) => ids.includes("m1"),
  );
});

t.test("closing gives back what is not confirmed", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher, close } = await startQueue(t, scene);
  publisher.isReady = true;
  publisher.decide = () => new Promise(() => {});
  await commitMetrics(outbox, scene, "m1");
  await eventually(
    async () => publisher.sent.length,
    (sent) => sent === 1,
  );
  await close();
  t.same(await scene.database.query("select leased_until from ingest.outbox"), [{ leased_until: null }]);
  t.match(await listPublishers(scene.store.db), [{ instanceId: "one", connected: false }]);
  await commitMetrics(outbox, scene, "m2");
  t.equal(await countRows(scene), 2, "what comes late is left to others");
});

t.test("the database goes away before what is confirmed can be deleted", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher, lines } = await startQueue(t, scene);
  publisher.isReady = true;
  publisher.decide = () => setReachable(scene.database, false).then(() => "confirmed");
  await commitMetrics(outbox, scene, "m1");
  await eventually(
    async () => lines,
    (all) => all.some(({ msg }) => /could not be updated/.test(msg)),
  );
  publisher.decide = () => "confirmed";
  await setReachable(scene.database, true);
  await untilEmpty(scene);
  t.same(idsOf(publisher.sent), ["m1"], "not repeated");
});

t.test("once a minute it is said how far behind the broker is, and when that is over", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher, lines } = await startQueue(t, scene, { timing: { upkeep: { warningMs: 50 } } });
  await commitMetrics(outbox, scene, "m1", "m2");
  const warning = await eventually(
    async () => lines.find(({ msg }) => msg === "messages wait for the broker"),
    (line) => line !== undefined,
  );
  t.match(warning, { level: "warn", rows: 1, messages: 2, oldestAgeS: Number, problem: "not connected" });
  publisher.isReady = true;
  await eventually(
    async () => lines,
    (all) => all.some(({ msg }) => /no messages wait/.test(msg)),
  );
});

t.test("an instance says how it stands with the broker", async (t) => {
  const scene = await openScene(t);
  const { outbox, publisher } = await startQueue(t, scene, { timing: { reportMs: 50 } });
  t.match(await listPublishers(scene.store.db), [
    { instanceId: "one", broker: "fake", connected: false, lastError: "not connected", confirmed: 0 },
  ]);
  publisher.isReady = true;
  await commitMetrics(outbox, scene, "m1");
  await eventually(
    () => listPublishers(scene.store.db),
    ([row]) => row?.connected === true && row.confirmed === 1 && row.ageS < 5,
  );
});

t.test("without a broker nothing is written, and no message is made", async (t) => {
  const scene = await openScene(t);
  await createClosedOutbox().transaction(scene.store, async (_, outgoing) => {
    outgoing.publish("metrics.raw", () => t.fail("nobody asks for it") as never);
  });
  t.equal(await countRows(scene), 0);
});
