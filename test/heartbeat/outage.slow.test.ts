import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream, openStream } from "../support/agents/field-agent.js";
import { setReachable } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

t.test("while the database is away a heartbeat waits, nobody loses an identity, and /healthz says so", async (t) => {
  const service = await startTestService(t);
  const a = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, a);
  await setReachable(service.database, false);
  stream.send(heartbeat(a.agentId, { cpuPercent: 66 }));
  const answer = stream.next();

  const newcomer = openStream(service, a);
  newcomer.send(heartbeat(a.jwt));
  t.match(await newcomer.ended, { code: Code.UNAVAILABLE }, "never one of the three codes that end an identity");

  const healthz = async () => {
    const response = await fetch(`http://localhost:${service.httpPort}/healthz`);
    return { status: response.status, body: await response.text() };
  };
  const problem = await eventually(healthz, ({ status }) => status === 503);
  t.match(problem.body, /the database has not answered for \d+ s: .*not currently accepting connections/);

  await setReachable(service.database, true);
  t.match(await answer, { ok: true });
  t.match(await service.database.query("select cpu_percent from hosts"), [{ cpu_percent: 66 }]);
  t.match(await service.database.query("select count(*)::int from host_metrics"), [{ count: 2 }], "and is stored once");
  await eventually(healthz, ({ status }) => status === 200);
  stream.end();
  await stream.ended;
});

t.test("a database that stays away for longer ends every stream, and nobody is offline who comes back", async (t) => {
  const LIMIT_MS = 1_500;
  const service = await startTestService(t, { timing: { sessions: { outageLimitMs: LIMIT_MS, renewMs: 100 } } });
  const { query } = service.database;
  const token = await service.createToken();
  const agents = [await enrol(service, token), await enrol(service, token)];
  const [waiting, idle] = await Promise.all(agents.map((agent) => openLiveStream(service, agent)));
  if (!waiting || !idle) throw new Error("not open");
  await setReachable(service.database, false);
  const awayAt = performance.now();
  waiting.send(heartbeat(agents[0]?.agentId ?? "", { cpuPercent: 66 }));
  await t.rejects(waiting.next(), { code: Code.UNAVAILABLE }, "never one of the three codes that end an identity");
  t.match(await idle.ended, { code: Code.UNAVAILABLE }, "nor does a stream wait on which nothing comes");
  const tookMs = performance.now() - awayAt;
  t.ok(tookMs >= LIMIT_MS * 0.9, `after ${Math.round(tookMs)} ms, not before`);
  for (const agent of agents) {
    const early = openStream(service, agent);
    early.send(heartbeat(agent.jwt));
    t.match(await early.ended, { code: Code.UNAVAILABLE });
  }
  await setReachable(service.database, true);
  for (const agent of agents) {
    const back = await openLiveStream(service, agent);
    back.end();
    await back.ended;
  }
  t.same(
    await query(
      "select reason from agent_status_history where status = 'offline' and reason <> 'heartbeat stream ended'",
    ),
    [],
  );
});
