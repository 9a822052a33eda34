import t from "tap";
import { readAgentActivity } from "../../dist/store/agents/agent-activity.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  register,
  registration,
} from "../support/agents/field-agent.js";
import { startProcess } from "../support/commands/process.js";
import { startTestService } from "../support/service.js";

t.test("agent watch: who came, who went, who waits, and what was refused and why, as lines", async (t) => {
  const service = await startTestService(t);
  const watching = startProcess(t, ["agent", "watch", "--interval", "50ms"], { env: service.env });
  const watchingJson = startProcess(t, ["agent", "watch", "--interval", "50ms", "--json"], { env: service.env });
  await watching.saw(/^active 0 offline 0 pending 0 revoked 0, 0 heartbeats\/s$/m);
  await watchingJson.saw(/"kind":"agents"/);
  const agent = await enrol(service, await service.createToken(), { agentInfo: { hostname: "web-01" } });
  const stream = await openLiveStream(service, agent);
  stream.send(heartbeat(agent.agentId));
  await stream.next();
  const waiting = await service.createToken({ autoApprove: false });
  await register(service, await registration(createTestKey(), waiting, { agentInfo: { hostname: "db-01" } }));
  await register(service, await registration(createTestKey(), "nonsense", { agentInfo: { hostname: "who" } })).catch(
    () => {},
  );
  const time = "\\d\\d:\\d\\d:\\d\\d";
  await watching.saw(new RegExp(`^${time}  registered  web-01 ${agent.agentId}  active$`, "m"));
  await watching.saw(new RegExp(`^${time}  came        web-01 ${agent.agentId}  from `, "m"));
  await watching.saw(new RegExp(`^${time}  registered  db-01 \\w+  pending$`, "m"));
  await watching.saw(new RegExp(`^${time}  refused     who  Register from .*: token_unknown$`, "m"));
  await watchingJson.saw(
    /"kind":"agents","agents":{"pending":\d,"active":1,"offline":0,"revoked":0},"heartbeatsPerSecond":0\.[1-9]/,
  );
  stream.end();
  await stream.ended;
  await watching.saw(new RegExp(`^${time}  went        web-01`, "m"));
  t.equal(watching.output().split("came  ").length, 2, "looks overlap, and nothing is told twice");
  for (const running of [watching, watchingJson]) {
    running.kill("SIGINT");
    t.match(await running.exited, { code: 130 });
  }
  for (const line of watchingJson.output().trim().split("\n")) JSON.parse(line);
});

t.test("a look costs little with twenty thousand agents", async (t) => {
  const service = await startTestService(t);
  await service.database.query(`
    insert into agents (id, organisation_id, hostname, public_key, status, last_heartbeat_at, created_at, updated_at)
    select 'many-' || i, o.id, 'host-' || i, 'many ' || i, 'active', now(), now() - interval '1 day', now()
    from generate_series(1, 20000) i, organisations o;
    insert into ingest.agent_sessions (agent_id, epoch, instance_id, opened_at)
    select id, 1, 'i', now() - interval '1 hour' from agents;
    analyze agents; analyze ingest.agent_sessions`);
  const durations: number[] = [];
  for (let look = 0; look < 5; look++) {
    const before = performance.now();
    const { heartbeats, events } = await readAgentActivity(service.store.db, new Date(Date.now() - 60_000));
    durations.push(Math.round(performance.now() - before));
    t.same([heartbeats, events], [20_000, []]);
  }
  t.comment(`a look: ${durations.join(", ")} ms`);
});
