import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { AGENT_PACE } from "../../dist/app/agent-pace.js";
import { Pace } from "../../dist/lib/bounds/pace.js";
import { AgentCalls } from "../../dist/rpc/access/agent-calls.js";
import {
  createTestCsr,
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registration,
  renewCertificate,
  type TestIdentity,
} from "../support/agents/field-agent.js";
import { startTestService } from "../support/service.js";

const MINUTE_MS = 60_000;

t.test("a pace has a burst, then one turn after the other, and forgets who does not come", async (t) => {
  let now = 0;
  const pace = new Pace({ perMinute: 6, burst: 3 }, { now: () => now, maxKeys: 100 });
  t.same(
    [1, 2, 3].map(() => pace.tryTake("a")),
    [0, 0, 0],
  );
  t.equal(pace.tryTake("a"), 10_000);
  t.equal(pace.tryTake("b"), 0, "the others have theirs");
  now += 10_000;
  t.equal(pace.tryTake("a"), 0);
  t.same([pace.take("a"), pace.take("a")], [10_000, 20_000], "turns can be taken ahead");
  now += MINUTE_MS;
  pace.tryTake("c");
  t.equal(pace.size, 1);
  for (let n = 0; n < 10_000; n++) pace.tryTake(`made up ${n}`);
  t.ok(pace.size <= 100, "whoever makes up keys takes no memory");
});

t.test("no honest agent is refused, however it comes back", async (t) => {
  const schedules: [string, (n: number) => number][] = [
    ["a stream that breaks at once: 1, 2, 4 … 60 s", (n) => Math.min(60, 2 ** n) * 1_000],
    ["streams that break after ten seconds", () => 11_000],
    ["a process that ends at once, and is started again after 5 s", () => 5_000],
  ];
  for (const [name, delay] of schedules) {
    let now = 0;
    const pace = new Pace(AGENT_PACE.calls, { now: () => now });
    let refused = 0;
    for (let n = 0; n < 2_000; n++) {
      if (pace.tryTake("agent") > 0) refused += 1;
      now += delay(n);
    }
    t.equal(refused, 0, name);
  }
  let now = 0;
  const pace = new Pace(AGENT_PACE.heartbeats, { now: () => now });
  let waited = 0;
  for (let n = 0; n < 2_000; n++) {
    waited += pace.take("agent");
    if (n % 20 === 0) for (let result = 0; result < 10; result++) waited += pace.take("agent");
    now += 30_000;
  }
  t.equal(waited, 0, "a heartbeat every 30 s, and results in between");
});

t.test("an agent that calls too often is refused, and no other one", async (t) => {
  const limit = { perMinute: 1, burst: 3 };
  const service = await startTestService(t, { timing: { pace: { calls: limit, registrations: limit } } });
  const token = await service.createToken();
  const [hostile, honest] = [await enrol(service, token), await enrol(service, token)];
  const refusal = { code: Code.RESOURCE_EXHAUSTED, details: /try again in \d+ s/ };
  const answerTo = async (call: Promise<unknown>) =>
    call.then(
      () => ({ code: Code.OK }),
      (error) => error,
    );

  const renew = ({ agentId, key, ...rest }: TestIdentity) =>
    answerTo(renewCertificate(service, { agentId, csrDer: createTestCsr(key) }, { ...rest }));
  for (let n = 0; n < limit.burst; n++) {
    t.match(await renew(hostile), { code: Code.OK });
    const stream = await openLiveStream(service, hostile);
    stream.end();
    t.match(await stream.ended, { code: Code.OK });
  }
  t.match(await renew(hostile), refusal);
  t.match(await openStream(service, hostile).ended, refusal);
  t.match(await renew(honest), { code: Code.OK });

  const request = await registration(hostile.key, token);
  // Whoever has an old request can send it, without the key.
  for (let n = 0; n < limit.burst; n++) t.match(await answerTo(register(service, request)), { code: Code.OK });
  t.match(await answerTo(register(service, request)), refusal);
  t.match(await answerTo(register(service, request, hostile)), { code: Code.OK }, "the agent itself has its own turns");
  t.match(await answerTo(enrol(service, token)), { code: Code.OK }, "and new machines behind one address are enrolled");

  const [row] = await service.database.query(
    "select count(*)::int from agent_status_history where agent_id = $1 and status = 'active'",
    [hostile.agentId],
  );
  t.ok(Number(row?.count) <= 1 + limit.burst, "nothing is stored of a call that was refused");
});

t.test("of an agent's sessions under way the oldest ends, of its other calls the newest is refused", async (t) => {
  const calls = new AgentCalls({ perMinute: 60, burst: 60 });
  const ended: number[] = [];
  const session = (n: number) => calls.enter("a", { isSession: true, peer: { reset: () => ended.push(n) } });
  const other = () => calls.enter("a", { isSession: false, peer: { reset: () => {} } });
  session(1);
  session(2);
  const leave = other();
  other();
  t.same(ended, []);
  session(3);
  t.same(ended, [1], "an agent that comes back is never refused for what is left of its earlier streams");
  t.throws(other, { code: "too_many_calls", agentId: "a" });
  leave();
  t.doesNotThrow(other);
});

t.test("streams that an agent leaves open take no room from the one that it uses", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  const silent = Array.from({ length: 3 }, () => openStream(service, agent));
  const live = await openLiveStream(service, agent);
  t.match(await Promise.race(silent.map(({ ended }) => ended)), { code: Code.CANCELLED });
  live.send(heartbeat(agent.agentId));
  t.match(await live.next(), { ok: true });
  for (const stream of [live, ...silent]) stream.destroy();
});
