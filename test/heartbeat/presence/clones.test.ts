import { status as Code } from "@grpc/grpc-js";
import t from "tap";
import { HeartbeatEvents } from "../../../dist/heartbeat/events.js";
import { CloneWatch } from "../../../dist/heartbeat/presence/clone-watch.js";
import { Metrics } from "../../../dist/observe/metrics.js";
import { createClosedOutbox } from "../../../dist/outbox/outbox.js";
import { enrol, heartbeat, openLiveStream, openStream, type TestIdentity } from "../../support/agents/field-agent.js";
import { runCommand } from "../../support/commands/cli.js";
import { hearNotifications } from "../../support/database/database.js";
import { BROKER_AWAY, readOutbox } from "../../support/database/outbox-messages.js";
import { eventually } from "../../support/eventually.js";
import { createTestLog } from "../../support/log.js";
import { startTestService, type TestService } from "../../support/service.js";

/** Two machines with one identity, each of which comes back when the other one took its place. */
async function takeTurns(instances: readonly TestService[], agent: TestIdentity, turns: number) {
  let current = await openLiveStream(instances[0] as TestService, agent);
  for (let turn = 1; turn <= turns; turn += 1) {
    const next = await openLiveStream(instances[turn % instances.length] as TestService, agent);
    await current.ended;
    current = next;
  }
  return current;
}

t.test("two machines that displace each other in turns are suspected, and go on", async (t) => {
  const { logger, lines } = createTestLog();
  const first = await startTestService(t, { logger, env: BROKER_AWAY });
  const second = await startTestService(t, { of: first, logger, env: BROKER_AWAY });
  const { query } = first.database;
  const token = await first.createToken();
  const [cloned, moved] = [await enrol(first, token), await enrol(first, token)];
  const stays = await takeTurns([first, second], moved, 3);
  const current = await takeTurns([first, second], cloned, 6);
  const suspected = () => lines.filter(({ msg }) => msg === "two machines seem to have the identity of one agent");
  await eventually(
    async () => suspected().length,
    (count) => count > 0,
  );
  t.equal(suspected().length, 1, "told once");
  const peer = { remoteAddress: /127\.0\.0\.1|::1/, hostname: /^web-/, uptimeSeconds: 3600 };
  t.match(suspected()[0], { agentId: cloned.agentId, displacements: 5, peers: [peer, peer] });
  t.match(
    await query("select status, reason from agent_status_history where agent_id = $1 and reason like 'suspected%'", [
      cloned.agentId,
    ]),
    [{ status: "active", reason: /^suspected clone: .* \(web-01, up 3600 s\) and .* take turns$/ }],
  );

  const address = /127\.0\.0\.1|::1/;
  const [host] = await query("select id, organisation_id from hosts where agent_id = $1", [cloned.agentId]);
  t.match(
    (await readOutbox(first.database, "events.raw")).filter(({ type }) => type === "agent.clone_suspected"),
    [
      {
        agent_id: cloned.agentId,
        hostname: "web-01",
        org_id: host?.organisation_id,
        host_id: host?.id,
        remote_addresses: [address, address],
      },
    ],
    "and published once",
  );
  t.match(
    await query(
      `select count(*)::int from ingest.outbox o join agent_status_history h on h.xmin = o.xmin
       where o.topic = 'events.raw' and h.reason like 'suspected clone%'`,
    ),
    [{ count: 1 }],
    "in the transaction that records it",
  );

  const listed = JSON.parse((await runCommand(first.env, ["agent", "list", "--json"])).output);
  t.match(
    listed.find(({ id }: { id: string }) => id === cloned.agentId),
    { suspectedClone: { peers: [peer, peer], lockedAt: null }, session: { isHeld: true, epoch: 7 } },
  );
  t.match(
    listed.find(({ id }: { id: string }) => id === moved.agentId),
    { suspectedClone: null, session: { isHeld: true, instanceAddress: new RegExp(`:${second.grpcPort}$`) } },
    "one that moved three times is none",
  );
  t.match((await runCommand(first.env, ["agent", "list"])).output, /INSTANCE +SINCE +NOTE(.|\n)* suspected clone/);
  t.match((await runCommand(first.env, ["agent", "show", cloned.agentId])).output, /suspected clone +since .* and /);
  t.match(JSON.parse((await runCommand(first.env, ["instance", "list", "--json"])).output), [
    { address: new RegExp(`:${first.grpcPort}$`), sessions: 1, draining: false, isGone: false },
    { address: new RegExp(`:${second.grpcPort}$`), sessions: 1, version: /^\d+\./ },
  ]);
  t.match((await runCommand(first.env, ["instance", "list"])).output, /SESSIONS +LAST RENEWED +STATE(.|\n)*running/);
  for (const stream of [stays, current]) {
    stream.end();
    t.match(await stream.ended, { code: Code.OK }, "both go on");
  }
});

t.test("with the policy lock neither is let in until an operator unlocks the agent", async (t) => {
  const env = { ...BROKER_AWAY, INGEST_CLONE_POLICY: "lock" };
  const first = await startTestService(t, { env });
  const second = await startTestService(t, { of: first, env });
  const { query } = first.database;
  const agent = await enrol(first, await first.createToken());
  const heard = await hearNotifications(t, first.database.url);
  const displaced = await takeTurns([first, second], agent, 4);
  // The fifth turn locks it: whether its first heartbeat is still acknowledged is a race.
  const current = openStream(second, agent);
  current.send(heartbeat(agent.jwt));
  await displaced.ended;
  t.match(
    await current.ended,
    { code: Code.FAILED_PRECONDITION, details: /neither is let in/ },
    "none of the codes that cost an identity",
  );
  // They come over a connection of their own.
  await eventually(
    async () => heard.length,
    (count) => count >= 6,
  );
  t.same(heard, new Array(6).fill(`session:${agent.agentId}`), "five displacements and the lock are told at once");
  const events = await readOutbox(first.database, "events.raw");
  t.match(
    events.filter(({ type }) => type === "agent.clone_suspected"),
    [{ agent_id: agent.agentId }],
    "it is published once",
  );
  for (const instance of [first, second]) {
    const refused = openStream(instance, agent);
    refused.send(heartbeat(agent.jwt));
    t.match(await refused.ended, { code: Code.FAILED_PRECONDITION });
  }
  await eventually(
    () => query("select status from agents"),
    ([row]) => row?.status === "offline",
  );
  t.match((await runCommand(first.env, ["agent", "list"])).output, /suspected clone, locked/);
  const { output, exitCode } = await runCommand(first.env, ["agent", "unlock", agent.agentId]);
  t.match(output, new RegExp(`unlocked ${agent.agentId} \\(web-01\\)`));
  t.equal(exitCode, 0);
  t.match(await runCommand(first.env, ["agent", "unlock", agent.agentId]), {
    exitCode: 1,
    errors: /is not locked/,
  });
  const back = await openLiveStream(second, agent);
  t.match(await query("select status from agents"), [{ status: "active" }]);
  t.match(await query("select reason from agent_status_history order by created_at desc limit 2"), [
    { reason: "heartbeat received" },
    { reason: "unlocked by an operator" },
  ]);
  back.end();
  await back.ended;
});

t.test("displacements that are written together all count", async (t) => {
  const service = await startTestService(t);
  const agent = await enrol(service, await service.createToken());
  const { agentId } = agent;
  await openLiveStream(service, agent);
  const [row] = await service.database.query("select id, organisation_id from hosts");
  const displaced = {
    agentId,
    epoch: 1,
    organisationId: String(row?.organisation_id),
    hostId: String(row?.id),
    remoteAddress: "192.0.2.1",
    hostname: "web-01",
    uptimeSeconds: 3_600,
  };
  const watch = new CloneWatch({
    database: service.store,
    outbox: createClosedOutbox(),
    events: new HeartbeatEvents(createTestLog().logger, { metrics: new Metrics() }),
    policy: { withinS: 60, displacements: 5, locks: false },
  });
  for (let n = 0; n < 5; n++) watch.report(displaced, { requestId: `call ${n}` });
  const contested = () =>
    service.database.query("select displacements, suspected_at from ingest.contested_agents where displacements = 5");
  t.match(await eventually(contested, (rows) => rows.length > 0), [{ suspected_at: Date }]);
});

t.test("an agent that was suspected before the policy became lock is locked when it goes on", async (t) => {
  const warns = await startTestService(t, { env: BROKER_AWAY });
  const { query } = warns.database;
  const agent = await enrol(warns, await warns.createToken());
  const last = await takeTurns([warns], agent, 6);
  await eventually(
    () => query("select locked_at from ingest.contested_agents where suspected_at is not null"),
    (rows) => rows.length > 0,
  );
  const locks = await startTestService(t, { of: warns, env: { ...BROKER_AWAY, INGEST_CLONE_POLICY: "lock" } });
  const held = await openLiveStream(locks, agent);
  await last.ended;
  const next = openStream(locks, agent);
  next.send(heartbeat(agent.jwt));
  await held.ended;
  t.match(await next.ended, { code: Code.FAILED_PRECONDITION, details: /neither is let in/ });
  t.match(await query("select locked_at from ingest.contested_agents"), [{ locked_at: Date }]);
});
