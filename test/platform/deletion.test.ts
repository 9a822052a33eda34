import { status as Code } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import { approveAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import {
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  register,
  registration,
  type TestIdentity,
  type TestStream,
} from "../support/agents/field-agent.js";
import { connectTo } from "../support/database/database.js";
import { createPlatformDatabase, PLATFORM_ORGANISATION } from "../support/database/platform-database.js";
import { deleteHostInWebApp } from "../support/database/web-app.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

/** What is tried again later instead of waiting for a row that somebody holds. */
const PASSES_OVER: ReadonlySet<string> = new Set(["a heartbeat", "the end of a stream", "a new stream"]);

/** A service on a platform's database, and a second connection, the web app's. */
async function startBesideWebApp(t: Test) {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const token = await service.createToken({ organisationSlug: "acme" });
  return { service, token, app: await connectTo(t, service.database.url) };
}

async function hostIdOf({ database }: TestService, agentId: string): Promise<string> {
  const [host] = await database.query("select id from hosts where agent_id = $1", [agentId]);
  return host?.id;
}

/** How many connections of the service wait for a lock that another one holds. */
async function countWaiting({ database }: TestService): Promise<number> {
  const [row] = await database.query(
    `select count(*)::int from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and application_name like 'ct-ops-ingest%'`,
  );
  return row?.count;
}

/** Sends heartbeats one after the other, as fast as they are acknowledged, and notes their latencies. */
async function keepBeating(stream: TestStream, agentId: string, latencies: number[], isOver: () => boolean) {
  while (!isOver()) {
    const sentAt = performance.now();
    stream.send(heartbeat(agentId));
    await stream.next();
    latencies.push(performance.now() - sentAt);
  }
}

t.test("deleting a host with many metrics keeps no other agent waiting, and ends its own", async (t) => {
  const { service, token, app } = await startBesideWebApp(t);
  const agents = await Promise.all(
    Array.from({ length: 30 }, (_, i) => enrol(service, token, { agentInfo: { hostname: `host-${i}` } })),
  );
  const [doomed, ...others] = agents as [TestIdentity, ...TestIdentity[]];
  const hostId = await hostIdOf(service, doomed.agentId);
  // Without checking for each that host and organisation exist, and in the order of the indexes.
  await app.query("set session_replication_role = replica");
  await app.query(
    `insert into host_metrics (id, organisation_id, host_id, recorded_at, cpu_percent)
     select 'metric' || i, $1, $2, now() + (i - 200000) * interval '2 s', 1
     from generate_series(100000, 199999) as i`,
    [PLATFORM_ORGANISATION, hostId],
  );
  await app.query("reset session_replication_role");
  const doomedStream = await openLiveStream(service, doomed);
  const streams = await Promise.all(others.map((agent) => openLiveStream(service, agent)));

  let over = false;
  const latencies = others.map((): number[] => []);
  const beating = Promise.all(
    streams.map((stream, i) => keepBeating(stream, others[i]?.agentId as string, latencies[i] as number[], () => over)),
  );
  const startedAt = performance.now();
  await deleteHostInWebApp(app, hostId, {
    locked: async () => {
      // Waits for its host, alone.
      doomedStream.send(heartbeat(doomed.agentId));
    },
    // Were a batch to wait for the deletion, this would wait for the batch, and the deletion for this.
    historyDeleted: async () => {
      const before = latencies.map(({ length }) => length);
      await eventually(
        async () => latencies.filter(({ length }, i) => length <= (before[i] as number) + 1).length,
        (waiting) => waiting === 0,
      );
    },
  });
  const deletionMs = performance.now() - startedAt;
  over = true;
  await beating;

  t.match(await doomedStream.ended, { code: Code.NOT_FOUND });
  const slowestMs = Math.max(...latencies.flat());
  t.comment(
    `deletion ${Math.round(deletionMs)} ms; ${latencies.flat().length} heartbeats meanwhile, slowest ${Math.round(slowestMs)} ms`,
  );
  t.same(
    await service.database.query("select deadlocks::int from pg_stat_database where datname = current_database()"),
    [{ deadlocks: 0 }],
  );
  t.same(await service.database.query("select from agents where id = $1", [doomed.agentId]), []);
  for (const stream of streams) stream.destroy();
});

t.test("nothing the service writes of an agent makes its deletion fail, or outlives it", async (t) => {
  const { service, token, app } = await startBesideWebApp(t);
  const leaver = await enrol(service, token, { agentInfo: { hostname: "leaver" } });
  const witness = await enrol(service, token, { agentInfo: { hostname: "witness" } });
  const witnessStream = await openLiveStream(service, witness);

  /** Waits until each of the service's two writers has written something that was given to it later. */
  const laterWrites = async () => {
    for (let i = 0; i < 3; i += 1) {
      witnessStream.send(heartbeat(witness.agentId));
      await witnessStream.next();
    }
    (await openLiveStream(service, leaver)).destroy();
    await eventually(
      () => service.database.query("select status from agents where id = $1", [leaver.agentId]),
      ([row]) => row?.status === "offline",
    );
  };

  /** Each begins when host and history are deleted and the agent is not; it is over when the deletion is. */
  const writes: Record<string, (agent: TestIdentity, stream: TestStream) => Promise<unknown>> = {
    "a heartbeat": async (agent, stream) => {
      stream.send(heartbeat(agent.agentId));
      t.match(await stream.ended, { code: Code.NOT_FOUND });
    },
    "the end of a stream": async (_agent, stream) => {
      stream.end();
      await stream.ended;
    },
    "a new stream": async (agent) => {
      const another = openStream(service, agent);
      another.send(heartbeat(agent.jwt));
      t.match(await another.ended, { code: Code.NOT_FOUND });
    },
    "a registration": async (agent) => {
      const reply = await register(service, await registration(agent.key, token));
      t.equal(reply.agentId, agent.agentId);
    },
    "a revocation": (agent) =>
      t.rejects(revokeAgent(service.publishing, agent.agentId, "test"), { message: /no agent has the id/ }),
    "an approval": (agent) =>
      t.rejects(approveAgent(service.publishing, agent.agentId), { message: /no agent has the id/ }),
  };
  for (const [name, write] of Object.entries(writes)) {
    const agent = await enrol(service, token, { agentInfo: { hostname: name.replaceAll(" ", "-") } });
    const stream = await openLiveStream(service, agent);
    if (name === "an approval") {
      await service.database.query("update agents set status = 'pending' where id = $1", [agent.agentId]);
    }
    let written: Promise<unknown> = Promise.resolve();
    await t.resolves(
      deleteHostInWebApp(app, await hostIdOf(service, agent.agentId), {
        // Were a batch to wait for the deletion, this would wait for the batch, and the deletion for this.
        historyDeleted: async () => {
          let settled = false;
          written = write(agent, stream).finally(() => {
            settled = true;
          });
          await laterWrites();
          await eventually(async () => settled || PASSES_OVER.has(name) || (await countWaiting(service)) > 0, Boolean);
        },
      }),
      `${name} does not make the deletion fail`,
    );
    await written;
    stream.destroy();
    t.same(await service.database.query("select from agent_status_history where agent_id = $1", [agent.agentId]), []);
  }
  witnessStream.end();
  await witnessStream.ended;
});

t.test("an agent that is deleted at this very moment is told so when the deletion has ended", async (t) => {
  const { service, token, app } = await startBesideWebApp(t);
  const witness = await enrol(service, token, { agentInfo: { hostname: "witness" } });
  for (const first of [true, false]) {
    const agent = await enrol(service, token, { agentInfo: { hostname: `agent-${first}` } });
    if (!first) {
      // It has a row in ingest.agent_sessions.
      const stream = await openLiveStream(service, agent);
      stream.destroy();
      await eventually(
        () => service.database.query("select status from agents where id = $1", [agent.agentId]),
        ([row]) => row?.status === "offline",
      );
    }
    const stream = openStream(service, agent);
    const request = await registration(agent.key, token, { agentInfo: { hostname: `again-${first}` } });
    let registered: ReturnType<typeof register> | undefined;
    await deleteHostInWebApp(app, await hostIdOf(service, agent.agentId), {
      agentDeleted: async () => {
        stream.send(heartbeat(agent.jwt));
        registered = register(service, request);
        registered.catch(() => {});
        // What came later is written by the same writers, which pass over what somebody holds.
        await register(service, await registration(witness.key, token, { agentInfo: { hostname: "witness" } }));
        (await openLiveStream(service, witness)).destroy();
      },
    });
    const answer = await registered?.catch((error) => error);
    t.ok(answer.code === Code.UNAVAILABLE || (answer.status === "pending" && answer.agentId !== agent.agentId));
    t.match(await stream.ended, { code: Code.NOT_FOUND }, "it is told when the deletion has ended");
    const again = openStream(service, agent);
    again.send(heartbeat(agent.jwt));
    t.match(await again.ended, { code: Code.NOT_FOUND });
  }
});
