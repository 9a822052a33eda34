import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { Calm } from "../../../dist/heartbeat/presence/calm.js";
import { SilenceWatch, type WatchedSession } from "../../../dist/heartbeat/presence/silence-watch.js";
import { LearnedInterval } from "../../../dist/heartbeat/recording/learned-interval.js";
import { enrol, heartbeat, openLiveStream } from "../../support/agents/field-agent.js";
import { connectTo } from "../../support/database/database.js";
import { eventually } from "../../support/eventually.js";
import { startTestService } from "../../support/service.js";
import { startTcpProxy } from "../../support/wire/tcp-proxy.js";

t.test("the middle one of the last gaps between regular messages is an agent's interval", async (t) => {
  const interval = new LearnedInterval();
  const hear = (...times: number[]) => {
    for (const at of times) interval.hear(at, 0);
  };
  t.equal(interval.ms, null);
  interval.startWith(300_000);
  t.equal(interval.ms, 300_000, "what earlier sessions learned");
  t.equal(interval.unstoredMs, null);
  hear(0, 10_000);
  t.equal(interval.ms, 10_000);
  t.equal(interval.unstoredMs, 10_000);
  interval.markStored(10_000);
  hear(20_500, 620_500);
  t.equal(interval.ms, 10_500, "a pause of ten minutes is not its interval");
  t.equal(interval.unstoredMs, null, "nor is it written again for little");
  hear(620_501, 630_501);
  t.equal(interval.ms, 10_000, "nor are two messages on each other's heels");
  const interrupted = new LearnedInterval();
  interrupted.hear(0, 0);
  interrupted.hear(90_000, 60_000);
  t.equal(interrupted.ms, null, "a gap in which the agent could not be heard says nothing");
});

t.test("silence is not counted from before the database was back, or the process went on", async (t) => {
  const calm = new Calm({ comeBackMs: 1_000 });
  t.equal(calm.earliestFor(0), Number.NEGATIVE_INFINITY);
  calm.reportTrouble(100);
  t.equal(calm.earliestFor(50), Number.POSITIVE_INFINITY);
  calm.reportAnswer(90, 120);
  t.ok(calm.isAway, "it was asked before the trouble");
  calm.reportAnswer(110, 200);
  t.notOk(calm.isAway);
  t.equal(calm.since, 200);
  t.equal(calm.earliestFor(50), 1_200, "who went before that has its time to come back");
  t.equal(calm.earliestFor(300), Number.NEGATIVE_INFINITY);
  calm.reportStall(400);
  t.equal(calm.earliestFor(300), 1_400);
});

t.test("a process that stood still calls nobody silent", async (t) => {
  const calm = new Calm({ comeBackMs: 60_000 });
  const marked: string[] = [];
  const saidNothingSince = performance.now();
  const session: WatchedSession = {
    key: { agentId: "a", hostId: "h", organisationId: "o", epoch: 1 },
    get silentMs() {
      return performance.now() - Math.max(saidNothingSince, calm.since);
    },
    patienceMs: 1_000,
    isKnownSilent: false,
  };
  const watch = new SilenceWatch({
    sessions: { open: [session] },
    offlineWriter: { write: async ({ reason }: { reason: string }) => marked.push(reason) > 0 } as never,
    calm,
    events: {} as never,
    scanMs: 10,
  });
  t.teardown(() => watch.stop());
  const wentOnAt = performance.now() + 1_300;
  while (performance.now() < wentOnAt);
  await eventually(
    async () => marked.length,
    (count) => count === 1,
  );
  t.ok(performance.now() - wentOnAt >= 1_000, "its silence counts from then on");
});

t.test("an agent that says nothing is shown offline, and its next heartbeat brings it back", async (t) => {
  const service = await startTestService(t, {
    env: { INGEST_OFFLINE_AFTER: "2s" },
    timing: { sessions: { silenceMs: 20 } },
  });
  const { query } = service.database;
  const token = await service.createToken();
  const [silent, waiting, patient] = await Promise.all([1, 2, 3].map(() => enrol(service, token)));
  if (!silent || !waiting || !patient) throw new Error("not enrolled");
  const statusOf = async (agentId: string) => {
    const [row] = await query(
      "select a.status, h.status as host from agents a join hosts h on h.agent_id = a.id where a.id = $1",
      [agentId],
    );
    return `${row?.status} ${row?.host}`;
  };

  // What it said cannot be stored for as long as somebody holds its host: it is not silent.
  const holder = await connectTo(t, service.database.url);
  await holder.query("begin");
  const otherStream = await openLiveStream(service, waiting);
  await holder.query("select from hosts where agent_id = $1 for update", [waiting.agentId]);
  otherStream.send(heartbeat(waiting.agentId));
  const answer = otherStream.next();

  // Its earlier sessions learned that it speaks every ten minutes.
  await openLiveStream(service, patient).then((opened) => {
    opened.end();
    return opened.ended;
  });
  await query("update ingest.agent_sessions set interval_ms = 600000 where agent_id = $1", [patient.agentId]);
  const patientStream = await openLiveStream(service, patient);
  const network = await startTcpProxy(t, service.grpcPort);
  const stream = await openLiveStream({ ...service, address: `localhost:${network.port}` }, silent);
  // What it sends from now on comes no further than somewhere in between, and nobody is told.
  network.silence();
  stream.send(heartbeat(silent.agentId));

  await eventually(
    () => statusOf(silent.agentId),
    (status) => status === "offline offline",
  );
  t.match(
    await query("select reason from agent_status_history where agent_id = $1 and status = 'offline'", [silent.agentId]),
    [{ reason: /^no heartbeat for \d s$/ }],
  );
  t.match(await query("select closed_at from ingest.agent_sessions where agent_id = $1", [silent.agentId]), [
    { closed_at: null },
  ]);
  t.equal(await statusOf(waiting.agentId), "active online");
  t.equal(await statusOf(patient.agentId), "active online");
  await holder.query("commit");
  t.match(await answer, { ok: true });

  network.resume();
  t.match(await stream.next(), { ok: true });
  t.equal(await statusOf(silent.agentId), "active online");
  await eventually(
    () => statusOf(silent.agentId),
    (status) => status === "offline offline",
  );
  for (const each of [stream, otherStream, patientStream]) {
    each.end();
    t.match(await each.ended, { code: Code.OK });
  }
});
