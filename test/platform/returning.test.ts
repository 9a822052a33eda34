import t from "tap";
import { approveAgent, unrevokeAgent } from "../../dist/enrolment/operators/approval.js";
import { createTestKey, enrol, register, registration, type TestIdentity } from "../support/agents/field-agent.js";
import { comeAndGo, machine, registerMachine } from "../support/agents/machines.js";
import { runCommand } from "../support/commands/cli.js";
import { connectTo } from "../support/database/database.js";
import { createPlatformDatabase } from "../support/database/platform-database.js";
import { approveInWebApp, deleteHostInWebApp } from "../support/database/web-app.js";
import { startTestService, type TestService } from "../support/service.js";

const service = await startTestService(t, { on: await createPlatformDatabase(t) });
const { query } = service.database;
const app = await connectTo(t, service.database.url);
const token = await service.createToken({ organisationSlug: "acme" });

async function hostOf({ database }: TestService, agentId: string) {
  const [host] = await database.query("select id, ip_addresses from hosts where agent_id = $1", [agentId]);
  return host ?? {};
}

/** Comes back with its key and nothing else, as an agent does that was told NOT_FOUND. */
async function comeBack({ key }: TestIdentity, hostname: string) {
  return register(service, await registration(key, token, { agentInfo: { hostname } }));
}

t.test("a host that was deleted waits for an operator when it comes back, who is told", async (t) => {
  for (const [how, remove] of [
    ["web-app", async ({ agentId }: TestIdentity) => deleteHostInWebApp(app, (await hostOf(service, agentId)).id)],
    ["command", ({ agentId }: TestIdentity) => runCommand(service.env, ["agent", "delete", "--yes", agentId])],
  ] as const) {
    const agent = await enrol(service, token, { agentInfo: { hostname: how } });
    await remove(agent);
    const reply = await comeBack(agent, how);
    t.equal(reply.status, "pending", how);
    t.match(await query("select reason from agent_status_history where agent_id = $1", [reply.agentId]), [
      { reason: /waits for an operator: an agent with the same key was deleted/ },
    ]);
    const cli = async (...args: string[]) => (await runCommand(service.env, ["agent", ...args])).output;
    t.match(await cli("list", "--hostname", how), /pending .* was deleted before/);
    t.match(JSON.parse(await cli("list", "--json", "--hostname", how)), [{ deletedBefore: String }]);
    t.match(await cli("show", reply.agentId), /deleted before +\d{4}-/);
    t.match(await cli("approve", "--dry-run", reply.agentId), /same key was deleted on \d{4}-/);
    t.match(await comeBack(agent, how), { status: "pending", agentId: reply.agentId });
    await approveAgent(service.publishing, reply.agentId);
    t.match(await comeBack(agent, how), { status: "active", agentId: reply.agentId });
    t.same(await query("select from ingest.former_keys where agent_id = $1", [agent.agentId]), [], "it is forgotten");
  }
});

t.test("one that was deleted under the earlier service is known by its revoked certificate", async (t) => {
  const agent = await enrol(service, token, { agentInfo: { hostname: "earlier" } });
  await deleteHostInWebApp(app, (await hostOf(service, agent.agentId)).id);
  await query("delete from ingest.former_keys");
  const request = await registration(agent.key, token, { agentInfo: { hostname: "earlier" } });
  const { status } = await register(service, request, agent);
  t.equal(status, "pending");
  t.match((await runCommand(service.env, ["agent", "list", "--hostname", "earlier"])).output, /was deleted before/);
});

t.test("another machine, and a new key of the same one, are as new as ever", async (t) => {
  const agent = await enrol(service, token, { agentInfo: { hostname: "reinstalled" } });
  await deleteHostInWebApp(app, (await hostOf(service, agent.agentId)).id);
  const anew = await registration(createTestKey(), token, { agentInfo: { hostname: "reinstalled" } });
  t.match(await register(service, anew), { status: "active" });
});

t.test("a role that may do nothing in schema ingest deletes hosts all the same", async (t) => {
  const agent = await enrol(service, token, { agentInfo: { hostname: "by-role" } });
  const { id } = await hostOf(service, agent.agentId);
  const role = `web_app_${Date.now()}`;
  await query(`create role ${role}; grant all on all tables in schema public to ${role}`);
  await app.query(`set role ${role}`);
  await deleteHostInWebApp(app, id);
  await app.query("reset role");
  t.equal((await comeBack(agent, "by-role")).status, "pending");
  await query(`drop owned by ${role}; drop role ${role}`);
});

t.test("whatever makes an agent pending, the web app can approve it, and its addresses stay known", async (t) => {
  for (const [how, makePending] of [
    ["unrevoke", (agentId: string) => unrevokeAgent(service.publishing, agentId)],
    ["sql", (agentId: string) => query("update agents set status = 'pending' where id = $1", [agentId])],
  ] as const) {
    const address = how === "sql" ? "192.0.2.77" : "192.0.2.78";
    const agent = await enrol(service, token, machine(how));
    const beat = (identity: TestIdentity) => comeAndGo(service, identity, [address]);
    await beat(agent);
    t.match(await hostOf(service, agent.agentId), { ip_addresses: [address] });
    await runCommand(service.env, ["agent", "revoke", agent.agentId]);
    t.match(await hostOf(service, agent.agentId), { ip_addresses: [address] }, "a revocation leaves them");
    await makePending(agent.agentId);
    t.match(await hostOf(service, agent.agentId), { ip_addresses: null }, how);
    t.match(
      await registerMachine(service, token, machine(`like-${how}`, address)),
      { status: "pending" },
      "the duplicate rule knows them",
    );
    await approveInWebApp(app, agent.agentId);
    const { jwtToken, clientCertPem } = await register(service, await registration(agent.key, ""));
    await beat({ ...agent, jwt: jwtToken, certificatePem: clientCertPem });
    t.match(await hostOf(service, agent.agentId), { ip_addresses: [address] }, "the first heartbeat brings them back");
  }
});
