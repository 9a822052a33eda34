import t from "tap";
import { AbandonedSweep } from "../../../dist/heartbeat/presence/abandoned-sweep.js";
import { LastSample } from "../../../dist/heartbeat/recording/last-sample.js";
import type { Session } from "../../../dist/heartbeat/session.js";
import { openDatabase } from "../../../dist/store/database.js";
import { countDisplacements } from "../../../dist/store/sessions/contests.js";
import { findAbandonedSessions } from "../../../dist/store/sessions/session-ends.js";
import { callerOf, createTestSessions, rawReport, TestSessionStream } from "../../support/agents/sessions.js";
import { insertAgentRows } from "../../support/database/agent-rows.js";
import { createTestDatabase } from "../../support/database/database.js";
import { eventually } from "../../support/eventually.js";

t.test("how long an agent may be silent, and what counts of what it says", async (t) => {
  const { query, url } = await createTestDatabase(t);
  const agents = await insertAgentRows({ query, url }, 5);
  const database = openDatabase({ url, maxConnections: 3 });
  t.teardown(() => database.close());
  const { sessions, hold, calm, events } = createTestSessions(database, { patience: { offlineAfterMs: 1_000 } });
  const open = async (index: number) => {
    const stream = new TestSessionStream();
    hold(callerOf(agents[index]), stream);
    await stream.send(rawReport({ results: "work" }));
    const session = [...sessions.open].find(({ key }) => key.agentId === agents[index]?.agentId);
    if (session === undefined) throw new Error("no session");
    return { stream, session };
  };
  const untilClosed = (session: Session, { open } = sessions) =>
    eventually(
      async () => open.has(session),
      (isOpen) => !isOpen,
    );
  const intervalOf = async (index: number) =>
    (await query("select interval_ms from ingest.agent_sessions where agent_id = $1", [agents[index]?.agentId]))[0]
      ?.interval_ms;

  await t.test("twice its own interval, here and for who sweeps", async (t) => {
    await query(
      `insert into ingest.agent_sessions (agent_id, epoch, instance_id, interval_ms, opened_at)
       values ('agent-1', 1, 'x', 60000, now())`,
    );
    const abandoned = async (silentS: number) => {
      await query("update ingest.agent_sessions set opened_at = now() - make_interval(secs => $1)", [silentS]);
      return (await findAbandonedSessions(database.db, { silentForMs: 1_000 })).map(({ agentId }) => agentId);
    };
    t.same(await abandoned(110), []);
    t.same(await abandoned(130), ["agent-1"]);
    const { session } = await open(0);
    t.equal(session.patienceMs, 120_000);
  });

  await t.test("a burst of results says nothing of its interval", async (t) => {
    const { stream, session } = await open(1);
    for (let n = 0; n < 4; n += 1) await stream.send(rawReport({ results: "work", cpuPercent: 10 + n }));
    t.equal(await intervalOf(1), null);
    await stream.send(rawReport({ results: "checks" }));
    for (let n = 0; n < 3; n += 1) await stream.send(rawReport({ results: "checks" }));
    t.equal(await intervalOf(1), null, "nor does a sample that is repeated");
    t.equal(session.patienceMs, 1_000);
    await stream.send(rawReport());
    t.type(await intervalOf(1), "number", "its regular messages do");
  });

  await t.test("displacements that do not follow each other at once are one machine that reconnects", async (t) => {
    await open(2);
    const displace = (withinS: number) =>
      database.transaction((tx) =>
        countDisplacements(
          tx,
          [
            {
              times: 1,
              agentId: "agent-3",
              displaced: { remoteAddress: "192.0.2.1", hostname: "web-3", uptimeSeconds: 1 },
            },
          ],
          { withinS, displacements: 3, locks: false },
        ),
      );
    for (let n = 0; n < 6; n += 1) {
      t.same(await displace(20), []);
      await query("update ingest.contested_agents set last_at = last_at - interval '21 seconds'");
    }
    t.match(await query("select displacements from ingest.contested_agents"), [{ displacements: 1 }]);
    t.same(await displace(20), []);
    t.same(await displace(20), []);
    t.match(await displace(20), [{ agentId: "agent-3", displacements: 3 }]);
  });

  await t.test("silence does not count from before the database was back", async (t) => {
    const { session } = await open(0);
    const silent = (ms: number) =>
      eventually(
        async () => session.silentMs,
        (silentMs) => silentMs > ms,
      );
    await silent(100);
    calm.reportTrouble();
    t.equal(session.silentMs, 0);
    calm.reportAnswer(performance.now());
    t.ok(session.silentMs < 100, "nor after that what was before");
    await silent(0);
  });

  await t.test("nor is what no instance holds swept before agents had their time to come back", async (t) => {
    const FOR_MS = 300;
    await query(
      "insert into ingest.agent_sessions (agent_id, epoch, instance_id, opened_at) values ('agent-5', 1, 'x', $1)",
      [new Date(0)],
    );
    const swept: { agentId: string; at: number }[] = [];
    const write = async ({ agentId }: { agentId: string }) => swept.push({ agentId, at: performance.now() }) > 0;
    calm.reportTrouble();
    const startedAt = performance.now();
    const { db } = database;
    const offlineWriter = { write } as never;
    const sweep = new AbandonedSweep({ db, offlineWriter, calm, events, silentForMs: FOR_MS, sweepMs: 10 });
    t.teardown(() => sweep.stop());
    await eventually(
      async () => performance.now() - startedAt,
      (ms) => ms > 2 * FOR_MS,
    );
    t.same(swept, [], "while it is away");
    calm.reportAnswer(performance.now());
    const backAt = performance.now();
    await eventually(
      async () => swept.map(({ agentId }) => agentId),
      (agentIds) => agentIds.includes("agent-5"),
    );
    t.ok((swept[0]?.at ?? 0) - backAt >= FOR_MS);
  });

  await t.test("nor is anybody marked for what a process that stood still finds first", async (t) => {
    const swept: string[] = [];
    const offlineWriter = { write: async ({ agentId }: { agentId: string }) => swept.push(agentId) > 0 } as never;
    let isStanding = true;
    let looks = 0;
    // It looks before it is found that it stood still.
    const db = Object.assign(Object.create(database.db), {
      execute: (...args: Parameters<typeof database.db.execute>) => {
        if (isStanding) calm.reportStall();
        looks += 1;
        return database.db.execute(...args);
      },
    });
    // Longer than a look takes on a busy machine.
    const sweep = new AbandonedSweep({ db, offlineWriter, calm, events, silentForMs: 200, sweepMs: 10 });
    t.teardown(() => sweep.stop());
    await eventually(
      async () => looks,
      (count) => count > 4,
    );
    t.same(swept, [], "it sweeps nobody");
    isStanding = false;
    await eventually(
      async () => swept,
      (agentIds) => agentIds.includes("agent-5"),
    );
  });

  await t.test("nor for a connection that broke meanwhile, of which it hears afterwards", async (t) => {
    const FOR_MS = 300;
    const patience = { graceMs: 10, offlineAfterMs: FOR_MS };
    const { sessions, hold, calm } = createTestSessions(database, { patience });
    const stream = new TestSessionStream();
    hold(callerOf(agents[3]), stream);
    const stoodUntil = performance.now();
    calm.reportStall(stoodUntil);
    // It lay unread.
    await stream.send();
    const [session] = [...sessions.open] as [Session];
    stream.cut();
    await untilClosed(session, sessions);
    t.ok(performance.now() - stoodUntil >= FOR_MS, "its agent had its time to come back");
    t.match(await query("select status from agents where id = 'agent-4'"), [{ status: "offline" }]);
  });

  await t.test("a storm of broken connections of one machine is no clone", async (t) => {
    for (let n = 0; n < 7; n += 1) {
      const { stream, session } = await open(3);
      stream.cut();
      await untilClosed(session);
    }
    t.same(await query("select from ingest.contested_agents where agent_id = 'agent-4'"), []);
  });
});

t.test("a sample is repeated only within half of the agent's own interval", async (t) => {
  const samples = new LastSample();
  const vitals = {
    cpuPercent: 1,
    memoryPercent: 2,
    diskPercent: 3,
    uptimeSeconds: 4,
    takenAtUnix: 5,
    agentVersion: null,
    os: null,
    osVersion: null,
    arch: null,
  };
  const disk = { mount_point: "/", device: "sda", fs_type: "ext4", percent_used: 50 };
  const inventory = (used: bigint) => ({
    disks: [{ ...disk, total_bytes: 2n, used_bytes: used, free_bytes: 2n - used }],
    networkInterfaces: [{ name: "eth0", ip_addresses: ["10.0.0.1"], mac_address: "", is_up: true }],
  });
  samples.remember({ vitals, inventory: inventory(1n) }, new Date(0));
  const isRepeated = (afterMs: number, intervalMs: number | null) =>
    samples.isRepeatedBy(
      { vitals: { ...vitals, takenAtUnix: 6 }, inventory: inventory(1n) },
      new Date(afterMs),
      intervalMs,
    );
  t.ok(isRepeated(4_900, 10_000));
  t.notOk(isRepeated(5_100, 10_000));
  t.ok(isRepeated(140_000, 300_000));
  t.notOk(isRepeated(160_000, 300_000));
  t.ok(isRepeated(14_000, null), "that of released agents where it is not known");
  t.notOk(isRepeated(16_000, null));
  t.notOk(samples.isRepeatedBy({ vitals, inventory: inventory(2n) }, new Date(0), null), "another disk");
  t.notOk(samples.isRepeatedBy({ vitals: { ...vitals, os: "x" }, inventory: inventory(1n) }, new Date(0), null));
});
