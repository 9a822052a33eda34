import t from "tap";
import { openDatabase } from "../../dist/store/database.js";
import { lockHostsAndAgents } from "../../dist/store/hosts/row-locks.js";
import { openAgentSessions } from "../../dist/store/sessions/agent-sessions.js";
import { renewInstance } from "../../dist/store/sessions/instances.js";
import {
  adoptForeignSessions,
  findAbandonedSessions,
  markSessionsOffline,
} from "../../dist/store/sessions/session-ends.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { connectTo, createTestDatabase, untilLockedOut } from "../support/database/database.js";

const opening = (agentId: string) => ({ agentId, remoteAddress: "192.0.2.1", hostname: "web-1", uptimeSeconds: 1 });

t.test(
  "an opening elsewhere that commits while the end of a session waits for its row keeps the agent online",
  async (t) => {
    const test = await createTestDatabase(t);
    const [agent] = await insertAgentRows(test, 1);
    if (agent === undefined) throw new Error("no agent");
    const database = openDatabase({ url: test.url, maxConnections: 2 });
    t.teardown(() => database.close());
    const [opened] = await openAgentSessions(database.db, { sessions: [opening(agent.agentId)], instanceId: "a" });
    t.match(opened, { epoch: 1 });

    // The other instance has taken the next epoch, and not committed yet.
    const other = await connectTo(t, test.url);
    await other.query("begin; update ingest.agent_sessions set epoch = 2, instance_id = 'b'");
    const marked = database.transaction(async (tx) => {
      await lockHostsAndAgents(tx, [agent]);
      return markSessionsOffline(tx, [{ ...agent, epoch: 1, silentForMs: null, staysOpen: false }]);
    });
    await untilLockedOut(test);
    await other.query("commit");
    t.same(await marked, [], "it is not the current session any more");
    t.match(await test.query("select status from agents"), [{ status: "active" }]);
    t.match(await test.query("select closed_at from ingest.agent_sessions"), [{ closed_at: null }]);
  },
);

t.test("who is silent is decided by the database's clock, and by the agent's own interval", async (t) => {
  const test = await createTestDatabase(t);
  const agents = await insertAgentRows(test, 7);
  const database = openDatabase({ url: test.url, maxConnections: 2 });
  t.teardown(() => database.close());
  const { db } = database;
  await renewInstance(db, { id: "runs", version: "1", address: "here:1" });
  await renewInstance(db, { id: "killed", version: "1", address: "there:1" });
  await test.query("update ingest.instances set renewed_at = now() - interval '1 minute' where id = 'killed'");
  for (const [instanceId, ...numbers] of [
    ["runs", 0],
    ["killed", 1, 2, 3],
    ["gone", 4],
  ] as const) {
    const sessions = numbers.map((number) => opening(agents[number]?.agentId ?? ""));
    await openAgentSessions(db, { sessions, instanceId });
  }
  await test.query("update ingest.agent_sessions set opened_at = now() - interval '90 s'");
  await test.query("update agents set last_heartbeat_at = now() - interval '30 s' where id = 'agent-3'");
  await test.query("update ingest.agent_sessions set interval_ms = 60000 where agent_id = 'agent-4'");
  const abandoned = async () =>
    (await findAbandonedSessions(db, { silentForMs: 60_000 })).map(({ agentId }) => agentId);
  t.same(await abandoned(), ["agent-2", "agent-5"], "not who is held, has just spoken, or speaks once a minute");

  // The earlier service left these; one of them has never been seen, the other one is shown offline.
  await test.query("update agents set last_heartbeat_at = now() - interval '1 day' where id in ('agent-6', 'agent-7')");
  await test.query("update hosts set status = 'online' where id = 'host-6'");
  t.equal(await adoptForeignSessions(db), 1);
  t.equal(await adoptForeignSessions(db), 0);
  t.same(await abandoned(), ["agent-2", "agent-5", "agent-6"]);

  const end = async (number: number, silentForMs: number | null, staysOpen = false) => {
    const agent = agents[number];
    if (agent === undefined) throw new Error("no agent");
    return database.transaction(async (tx) => {
      await lockHostsAndAgents(tx, [agent]);
      return markSessionsOffline(tx, [{ ...agent, epoch: 1, silentForMs, staysOpen }]);
    });
  };
  t.same(await end(2, 60_000), [], "it spoke 30 s ago");
  t.same(await end(3, 60_000), [], "it speaks once a minute");
  t.same(await end(1, 60_000, true), ["agent-2"]);
  t.match(
    await test.query("select closed_at from ingest.agent_sessions where agent_id = 'agent-2'"),
    [{ closed_at: null }],
    "its stream is up",
  );
  t.same(await end(2, null), ["agent-3"]);
});
