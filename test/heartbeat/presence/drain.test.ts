import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { enrol, heartbeat, openLiveStream, openStream, type TestIdentity } from "../../support/agents/field-agent.js";
import { connectTo, untilLockedOut } from "../../support/database/database.js";
import { eventually } from "../../support/eventually.js";
import { startTestService, type TestService } from "../../support/service.js";

/** The rate allows one at once; what a busy machine adds. */
const EARLY_MS = 100;
const LATE_MS = 3_000;

const verdict = async (service: TestService, path: string) => {
  const response = await fetch(`http://localhost:${service.httpPort}${path}`);
  return { status: response.status, body: await response.text() };
};

t.test("a stop sends agents away at a bounded rate, loses nothing, and shows nobody offline", async (t) => {
  const COUNT = 20;
  const PER_SECOND = 20;
  const stopping = await startTestService(t, { env: { INGEST_DRAIN_RATE: String(PER_SECOND) } });
  const staying = await startTestService(t, { of: stopping });
  const { query } = stopping.database;
  const token = await stopping.createToken();
  const agents: TestIdentity[] = [];
  for (let i = 0; i < COUNT; i += 1) agents.push(await enrol(stopping, token));
  const [inFlight, leaver] = agents;
  if (!inFlight || !leaver) throw new Error("not enrolled");
  const streams = await Promise.all(agents.map((agent) => openLiveStream(stopping, agent)));

  // What the first one says is under way when the stop begins.
  const holder = await connectTo(t, stopping.database.url);
  await holder.query("begin; lock table host_metrics in exclusive mode");
  streams[0]?.send(heartbeat(inFlight.agentId, { cpuPercent: 77 }));
  const answer = streams[0]?.next();
  await untilLockedOut({ query });

  const startedAt = performance.now();
  const endedAfterMs = streams.map(({ ended }) => ended.then(() => performance.now() - startedAt));
  const closed = stopping.close();
  t.match(await verdict(stopping, "/readyz"), { status: 503, body: "the service is draining" });
  t.match(await verdict(stopping, "/healthz"), { status: 200, body: "ok" }, "the process is healthy");
  const late = openStream(stopping, leaver);
  late.send(heartbeat(leaver.jwt));
  t.match(await late.ended, { code: Code.UNAVAILABLE });
  t.match(
    await eventually(
      () => query("select draining from ingest.instances order by started_at"),
      ([row]) => row?.draining === true,
    ),
    [{ draining: true }, { draining: false }],
  );

  await holder.query("commit");
  t.match(await answer, { ok: true }, "what was read is stored and acknowledged first");
  t.match(await streams[0]?.ended, { code: Code.UNAVAILABLE });

  // All but one go elsewhere as soon as they are told.
  await Promise.all(
    streams.slice(2).map(async (stream, index) => {
      t.match(await stream.ended, { code: Code.UNAVAILABLE, details: /connect again/ });
      const agent = agents[index + 2];
      if (agent !== undefined) await openLiveStream(staying, agent);
    }),
  );
  const toldAfterMs = (await Promise.all(endedAfterMs.slice(1))).sort((a, b) => a - b);
  const earlyMs = toldAfterMs.map((ms, index) => (index / PER_SECOND) * 1_000 - ms);
  t.ok(Math.max(...earlyMs) <= EARLY_MS, `never more at once than the rate allows: ${toldAfterMs.map(Math.round)}`);
  t.ok((toldAfterMs.at(-1) ?? 0) <= (COUNT / PER_SECOND) * 1_000 + LATE_MS, "nor are they kept longer than it takes");
  await closed;
  t.match(await query("select count(*)::int from host_metrics where cpu_percent = 77"), [{ count: 1 }]);
  t.same(await query("select agent_id from agent_status_history where status = 'offline'"), []);
  t.match(await query("select count(*)::int from ingest.instances"), [{ count: 1 }]);
});

t.test("however many there are, all are told in time", async (t) => {
  const service = await startTestService(t, { env: { INGEST_DRAIN_RATE: "1", INGEST_DRAIN_TIMEOUT: "2s" } });
  const token = await service.createToken();
  const agents: TestIdentity[] = [];
  for (let i = 0; i < 6; i += 1) agents.push(await enrol(service, token));
  const streams = await Promise.all(agents.map((agent) => openLiveStream(service, agent)));
  const startedAt = performance.now();
  await service.close();
  for (const { ended } of streams) t.match(await ended, { code: Code.UNAVAILABLE, details: /connect again/ });
  t.ok(performance.now() - startedAt < 5_000);
});
