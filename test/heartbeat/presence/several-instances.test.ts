import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream, type TestIdentity } from "../../support/agents/field-agent.js";
import { hearNotifications } from "../../support/database/database.js";
import { eventually } from "../../support/eventually.js";
import { startTestService, type TestService } from "../../support/service.js";
import { startTcpProxy } from "../../support/wire/tcp-proxy.js";

t.test("one live session per agent, over two instances", async (t) => {
  const first = await startTestService(t, { env: { INGEST_OFFLINE_GRACE: "1m" } });
  const second = await startTestService(t, { of: first });
  const { query } = first.database;
  const token = await first.createToken();
  const statusOf = async (agentId: string) =>
    (await query("select status from agents where id = $1", [agentId]))[0]?.status;

  await t.test("a stream on the other instance displaces the first one", async (t) => {
    const a = await enrol(first, token);
    const heard = await hearNotifications(t, first.database.url);
    let current = await openLiveStream(first, a);
    for (const instance of [second, first, second]) {
      const next = await openLiveStream(instance, a);
      t.match(await current.ended, { code: Code.ABORTED, details: /newer stream/ });
      current = next;
    }
    t.same(heard, new Array(3).fill(`session:${a.agentId}`), "the other one is told each time, and need not look");
    t.match(
      await query(
        `select remote_address, hostname, uptime_seconds, epoch::int, closed_at, i.address like '%:' || $2 as is_second
         from ingest.agent_sessions s join ingest.instances i on i.id = s.instance_id where agent_id = $1`,
        [a.agentId, second.grpcPort],
      ),
      [{ hostname: /^web-/, uptime_seconds: 3600, epoch: 4, closed_at: null, is_second: true }],
    );
    t.equal(await statusOf(a.agentId), "active");
    t.same(await query("select from agent_status_history where agent_id = $1 and status = 'offline'", [a.agentId]), []);
    current.end();
    await current.ended;
    t.equal(await statusOf(a.agentId), "offline");
  });

  await t.test("also when nobody is told of it", async (t) => {
    const a = await enrol(first, token);
    const old = await openLiveStream(first, a);
    await query("update ingest.instances set draining = true");
    const current = await openLiveStream(second, a);
    t.match(await old.ended, { code: Code.ABORTED }, "a look at all sessions finds it");
    await query("update ingest.instances set draining = false");
    current.end();
    await current.ended;
  });

  await t.test("what a displaced stream still brings does not show the agent online again", async (t) => {
    const a = await enrol(first, token);
    const old = await openLiveStream(first, a);
    // Its instance learns of nothing.
    await query(
      "update ingest.agent_sessions set epoch = epoch + 1, instance_id = 'x', closed_at = now() where agent_id = $1",
      [a.agentId],
    );
    await query("update agents set status = 'offline' where id = $1", [a.agentId]);
    old.send(heartbeat(a.agentId));
    t.match(await old.ended, { code: Code.ABORTED });
    t.equal(await statusOf(a.agentId), "offline");
  });

  await t.test("each shows that it runs, and takes that back as it ends", async (t) => {
    t.match(await query("select version, draining from ingest.instances"), [{ draining: false }, { draining: false }]);
    const a = await enrol(first, token);
    const stream = await openLiveStream(second, a);
    await second.close();
    t.match(await stream.ended, { code: Code.UNAVAILABLE, details: /connect again/ });
    t.match(await query("select address from ingest.instances"), [{ address: new RegExp(`:${first.grpcPort}$`) }]);
    t.equal(await statusOf(a.agentId), "active", "it was told to come back, and has its time for it");
    const back = await openLiveStream(first, a);
    t.same(await query("select from agent_status_history where agent_id = $1 and status = 'offline'", [a.agentId]), []);
    back.end();
    await back.ended;
  });
});

t.test(
  "after a broken connection an agent has its time to come back, and one that takes its call back has none",
  async (t) => {
    const service = await startTestService(t, { env: { INGEST_OFFLINE_GRACE: "1m" } });
    const hasty = await startTestService(t, { of: service, env: { INGEST_OFFLINE_GRACE: "200ms" } });
    const { query } = service.database;
    const token = await service.createToken();
    const statusOf = async (agentId: string) =>
      (await query("select status from agents where id = $1", [agentId]))[0]?.status;
    const offlineLines = (agentId: string) =>
      query("select reason from agent_status_history where agent_id = $1 and status = 'offline'", [agentId]);

    /** Opens a stream through a network that then breaks. */
    const openAndBreak = async (instance: TestService, agent: TestIdentity) => {
      const proxy = await startTcpProxy(t, instance.grpcPort);
      const stream = await openLiveStream({ ...instance, address: `localhost:${proxy.port}` }, agent);
      proxy.cut();
      await stream.ended;
    };

    const broken = await enrol(service, token);
    await openAndBreak(service, broken);
    await openAndBreak(service, broken);
    t.same(await offlineLines(broken.agentId), [], "a reconnect leaves no trace");

    const gone = await enrol(service, token);
    await openAndBreak(hasty, gone);
    await eventually(
      () => statusOf(gone.agentId),
      (status) => status === "offline",
    );
    t.match(await offlineLines(gone.agentId), [{ reason: "connection lost" }]);

    const stopped = await enrol(service, token);
    const fourth = await openLiveStream(service, stopped);
    fourth.destroy();
    await eventually(
      () => statusOf(stopped.agentId),
      (status) => status === "offline",
    );
    t.match(await offlineLines(stopped.agentId), [{ reason: "heartbeat stream ended" }]);
    t.equal(await statusOf(broken.agentId), "active");
  },
);

t.test(
  "what a killed instance left is swept once its agents are silent, and not before they could come back",
  async (t) => {
    const killed = await startTestService(t);
    const { query } = killed.database;
    const token = await killed.createToken();
    const [gone, alive] = [await enrol(killed, token), await enrol(killed, token)];
    const streams = [await openLiveStream(killed, gone), await openLiveStream(killed, alive)];
    await killed.close();
    await Promise.all(streams.map(({ ended }) => ended));
    await query(
      "insert into ingest.instances (id, version, address, renewed_at) values ('x', '1', 'x:1', now() - interval '1 day')",
    );

    const startedAt = performance.now();
    const next = await startTestService(t, {
      of: killed,
      env: { INGEST_OFFLINE_AFTER: "1s" },
      timing: { sessions: { sweepMs: 50 } },
    });
    t.same(await query("select from ingest.instances where id = 'x'"), [], "those long gone are forgotten");
    const back = await openLiveStream(next, alive);
    await eventually(
      () => query("select status from agents where id = $1", [gone.agentId]),
      ([row]) => row?.status === "offline",
    );
    t.ok(performance.now() - startedAt >= 1_000, "all had their time to come back");
    t.match(await query("select agent_id, reason from agent_status_history where status = 'offline'"), [
      { agent_id: gone.agentId, reason: /its instance ended/ },
    ]);
    t.match(await query("select status from hosts where agent_id = $1", [gone.agentId]), [{ status: "offline" }]);
    back.end();
    await back.ended;
  },
);
