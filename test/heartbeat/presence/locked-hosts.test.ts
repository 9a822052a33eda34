import t, { type Test } from "tap";
import { AbandonedSweep } from "../../../dist/heartbeat/presence/abandoned-sweep.js";
import { CloneWatch } from "../../../dist/heartbeat/presence/clone-watch.js";
import { createClosedOutbox } from "../../../dist/outbox/outbox.js";
import { openDatabase } from "../../../dist/store/database.js";
import { createTestSessions } from "../../support/agents/sessions.js";
import { insertAgentRows } from "../../support/database/agent-rows.js";
import { connectTo, createTestDatabase } from "../../support/database/database.js";
import { eventually } from "../../support/eventually.js";

/** Two agents, of which somebody holds the first one's host. */
async function setUp(t: Test) {
  const test = await createTestDatabase(t);
  const agents = await insertAgentRows(test, 2);
  const database = openDatabase({ url: test.url, maxConnections: 3 });
  t.teardown(() => database.close());
  const open = (agentId: string, epoch: number) =>
    test.query(
      `insert into ingest.agent_sessions (agent_id, epoch, instance_id, opened_at) values ($1, $2, 'gone', $3)
       on conflict (agent_id) do update set epoch = excluded.epoch`,
      [agentId, epoch, new Date(0)],
    );
  const holder = await connectTo(t, test.url);
  await holder.query("begin; select from hosts where id = 'host-1' for update");
  const statusOf = async (agentId: string) =>
    (await test.query("select status from agents where id = $1", [agentId]))[0]?.status;
  return { ...createTestSessions(database), ...test, agents, database, holder, open, statusOf };
}

t.test(
  "the end of a session that a newer one has taken the place of does not wait for a host that is locked",
  async (t) => {
    const { agents, offlineWriter, holder, open, statusOf } = await setUp(t);
    const [agent] = agents;
    if (agent === undefined) throw new Error("no agent");
    await open(agent.agentId, 2);
    const end = { ...agent, reason: "it ended", silentForMs: null, staysOpen: false };
    t.equal(await offlineWriter.write({ ...end, epoch: 1 }), false);
    const written = offlineWriter.write({ ...end, epoch: 2 });
    await holder.query("commit");
    t.equal(await written, true);
    t.equal(await statusOf(agent.agentId), "offline");
  },
);

t.test(
  "displacements that waited for a host that is locked are not counted as if they were of one moment",
  async (t) => {
    const { agents, database, events, lines, holder, open, query } = await setUp(t);
    const [agent] = agents;
    if (agent === undefined) throw new Error("no agent");
    await open(agent.agentId, 6);
    const policy = { withinS: 0.2, displacements: 3, locks: true };
    const watch = new CloneWatch({ database, outbox: createClosedOutbox(), events, policy });
    const peer = { remoteAddress: "192.0.2.1", hostname: "web-1", uptimeSeconds: 1 };
    const after = async (ms: number) => {
      const startedAt = performance.now();
      await eventually(
        async () => performance.now() - startedAt,
        (waitedMs) => waitedMs > ms,
      );
    };
    for (const epoch of [1, 2, 3, 4]) {
      watch.report({ ...agent, ...peer, epoch }, { requestId: "r" });
      await after(210);
    }
    await holder.query("commit");
    // By then it is written, if it is at all.
    await after(500);
    t.same(await query("select from ingest.contested_agents where displacements > 1"), []);
    t.same(
      lines.filter(({ level }) => level !== "info"),
      [],
    );
  },
);

t.test("a host that is locked keeps no other abandoned session from being swept", async (t) => {
  const { database, offlineWriter, calm, events, holder, open, statusOf } = await setUp(t);
  await open("agent-1", 1);
  const asked: string[] = [];
  const write: typeof offlineWriter.write = (departure) => {
    asked.push(departure.agentId);
    return offlineWriter.write(departure);
  };
  const watched = { write } as typeof offlineWriter;
  const { db } = database;
  const sweep = new AbandonedSweep({ db, offlineWriter: watched, calm, events, silentForMs: 1, sweepMs: 10 });
  t.teardown(() => sweep.stop());
  await eventually(
    async () => asked,
    ({ length }) => length === 1,
  );
  await open("agent-2", 1);
  const isOffline = (agentId: string) =>
    eventually(
      () => statusOf(agentId),
      (status) => status === "offline",
    );
  await isOffline("agent-2");
  t.equal(await statusOf("agent-1"), "active");
  t.equal(asked.filter((agentId) => agentId === "agent-1").length, 1, "it is written once");
  await holder.query("commit");
  await isOffline("agent-1");
});
