import t from "tap";
import { approveAgent, revokeAgent } from "../../dist/enrolment/operators/approval.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  register,
  registration,
  type TestStream,
} from "../support/agents/field-agent.js";
import { connectTo } from "../support/database/database.js";
import { createPlatformDatabase } from "../support/database/platform-database.js";
import { approveInWebApp, deleteHostInWebApp, makeStatusAnEnum, rejectInWebApp } from "../support/database/web-app.js";
import { eventually } from "../support/eventually.js";
import { startTestService, type TestService } from "../support/service.js";

async function statusOf({ database }: TestService, agentId: string): Promise<string> {
  const [row] = await database.query("select status::text from agents where id = $1", [agentId]);
  return row?.status;
}

/** Beats until told to stop, and fails when a heartbeat is not acknowledged. */
async function beatUntil(stream: TestStream, agentId: string, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    stream.send(heartbeat(agentId));
    await stream.next();
  }
}

t.test("a later migration makes an enum of agents.status while the service runs", async (t) => {
  const service = await startTestService(t, { on: await createPlatformDatabase(t) });
  const app = await connectTo(t, service.database.url);
  const token = await service.createToken({ organisationSlug: "acme" });
  const pendingToken = await service.createToken({ organisationSlug: "acme", autoApprove: false });

  const enrolPending = async (hostname: string) => {
    const key = createTestKey();
    const request = await registration(key, pendingToken, { agentInfo: { hostname } });
    return { request, agentId: (await register(service, request)).agentId };
  };
  /** Everything the service does with the status of an agent, so that its connections have planned it all. */
  const liveThrough = async (when: string) => {
    const enrolled = await enrol(service, token, { agentInfo: { hostname: `enrolled-${when}` } });
    const stream = await openLiveStream(service, enrolled);
    stream.end();
    await stream.ended;
    await eventually(
      () => statusOf(service, enrolled.agentId),
      (status) => status === "offline",
    );
    const back = await openLiveStream(service, enrolled);
    t.equal(await statusOf(service, enrolled.agentId), "active", `${when}: came back`);
    back.destroy();

    const byHand = await enrolPending(`by-hand-${when}`);
    await approveAgent(service.publishing, byHand.agentId);
    t.match(await register(service, byHand.request), { status: "active" }, `${when}: approved by the CLI`);
    const byApp = await enrolPending(`by-app-${when}`);
    await approveInWebApp(app, byApp.agentId);
    t.match(await register(service, byApp.request), { status: "active" }, `${when}: approved by the web app`);
    await revokeAgent(service.publishing, byHand.agentId, "test");
    t.match(await register(service, byHand.request), { status: "revoked" }, `${when}: revoked`);
    await rejectInWebApp(app, byApp.agentId);
    t.match(await register(service, byApp.request), { status: "revoked" }, `${when}: rejected`);
    const [host] = await service.database.query("select id from hosts where agent_id = $1", [byApp.agentId]);
    await deleteHostInWebApp(app, host?.id);
  };

  const agents = await Promise.all(
    Array.from({ length: 20 }, (_, i) => enrol(service, token, { agentInfo: { hostname: `beats-${i}` } })),
  );
  const streams = await Promise.all(agents.map((agent) => openLiveStream(service, agent)));
  let over = false;
  const beating = Promise.all(streams.map((s, i) => beatUntil(s, agents[i]?.agentId as string, () => over)));
  await liveThrough("before");
  await makeStatusAnEnum(app);
  await liveThrough("after");
  over = true;
  await t.resolves(beating, "no stream ended, and every heartbeat was acknowledged");
  t.match(
    await service.database.query(
      `select format_type(atttypid, atttypmod) as type from pg_attribute
       where attrelid = 'agents'::regclass and attname = 'status'`,
    ),
    [{ type: "agent_status" }],
  );
  for (const stream of streams) stream.destroy();
});
