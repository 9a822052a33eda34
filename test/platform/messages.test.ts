import { randomBytes } from "node:crypto";
import t from "tap";
import { createTestKey, register, registration } from "../support/agents/field-agent.js";
import { connectTo } from "../support/database/database.js";
import { BROKER_AWAY, readOutbox } from "../support/database/outbox-messages.js";
import { createPlatformDatabase, PLATFORM_ORGANISATION } from "../support/database/platform-database.js";
import { approveInWebApp, deleteHostInWebApp, makeStatusAnEnum, rejectInWebApp } from "../support/database/web-app.js";
import { startTestService } from "../support/service.js";

t.test("what the web app changes by itself is published, and never fails for it", async (t) => {
  const role = `web_app_${randomBytes(4).toString("hex")}`;
  const admin = await connectTo(t, process.env.TEST_POSTGRES_URL ?? "");
  await admin.query(`create role ${role}`);
  t.teardown(() => admin.query(`drop role ${role}`));
  const service = await startTestService(t, { on: await createPlatformDatabase(t), env: BROKER_AWAY });
  const { query } = service.database;
  const app = await connectTo(t, service.database.url);
  await app.query(`grant all on all tables in schema public to ${role}; set role ${role}`);

  const token = await service.createToken({ organisationSlug: "acme", autoApprove: false });
  const enrolPending = async (hostname: string) => {
    const request = await registration(createTestKey(), token, { agentInfo: { hostname } });
    const { agentId } = await register(service, request);
    const [host] = await query("select id from hosts where agent_id = $1", [agentId]);
    return { agentId, hostId: host?.id as string };
  };
  const told = async (topic: "agent.status" | "events.raw", agentId: string) =>
    (await readOutbox(service.database, topic)).filter((body) => body.agent_id === agentId);
  const own = (hostname: string) => ({ org_id: PLATFORM_ORGANISATION, hostname, message_id: /^[a-z][0-9a-z]{23}$/ });

  for (const when of ["text", "enum"]) {
    if (when === "enum") await app.query("reset role").then(() => makeStatusAnEnum(app));
    const approved = await enrolPending(`approved-${when}`);
    await approveInWebApp(app, approved.agentId);
    const [, line] = await query("select * from agent_status_history where agent_id = $1 order by created_at", [
      approved.agentId,
    ]);
    t.match(await told("agent.status", approved.agentId), [
      { from: null, to: "pending" },
      {
        message_id: line?.id,
        host_id: approved.hostId,
        org_id: PLATFORM_ORGANISATION,
        from: "pending",
        to: "active",
        reason: "by an administrator",
        at: line?.created_at.toISOString(),
      },
    ]);
    t.match((await told("events.raw", approved.agentId)).at(-1), {
      type: "agent.approved",
      ...own(`approved-${when}`),
    });

    await rejectInWebApp(app, approved.agentId);
    t.match((await told("agent.status", approved.agentId)).at(-1), { from: "active", to: "revoked" });
    t.match((await told("events.raw", approved.agentId)).at(-1), {
      type: "agent.revoked",
      reason: "by an administrator",
    });
    const rejected = await enrolPending(`rejected-${when}`);
    await rejectInWebApp(app, rejected.agentId);
    t.match((await told("events.raw", rejected.agentId)).at(-1), { type: "agent.rejected" });

    await deleteHostInWebApp(app, approved.hostId);
    t.match((await told("agent.status", approved.agentId)).at(-1), { from: "revoked", to: "deleted", host_id: null });
    t.match((await told("events.raw", approved.agentId)).at(-1), { type: "agent.deleted", ...own(`approved-${when}`) });
  }

  await query("alter table ingest.outbox rename to gone");
  const unheard = await enrolPending("unheard").catch(() => undefined);
  t.equal(unheard, undefined, "the service needs its outbox");
  const [left] = await query("select agent_id from hosts where hostname = 'rejected-text'");
  await app.query("update agents set status = 'pending' where id = $1", [left?.agent_id]);
  await t.resolves(approveInWebApp(app, left?.agent_id), "the web app does not");
  await query("alter table ingest.gone rename to outbox");

  await query("delete from ingest.outbox; delete from ingest.publishers");
  await rejectInWebApp(app, left?.agent_id);
  t.same(await query("select from ingest.outbox"), [], "nothing is written where nobody publishes");
});
