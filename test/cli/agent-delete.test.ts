import { status as Code } from "@grpc/grpc-js";
import pg from "pg";
import t from "tap";
import { enrol, heartbeat, openLiveStream, register, registration } from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { connectTo, untilLockedOut } from "../support/database/database.js";
import { startTestService } from "../support/service.js";

/** Tables of the platform that this service does not know, and one that hangs on one of them. */
const UNKNOWN_TABLES = `
  create table alert_rules (id text primary key, host_id text references hosts);
  create table alert_instances (id text primary key, rule_id text not null references alert_rules, host_id text);
  create table notes (id text primary key, host_id text references hosts on delete set null);
  create schema billing;
  create table billing.seats (id text primary key, agent_id text not null references public.agents);
`;

t.test("agent delete deletes an agent with all that hangs on it, while others are busy", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken({ tags: [{ key: "role", value: "web" }] });
  const doomed = await enrol(service, token, { agentInfo: { hostname: "doomed", version: "" } });
  const other = await enrol(service, token, { agentInfo: { hostname: "other", version: "" } });
  const id = doomed.agentId;
  const [host] = await query("select id, organisation_id from hosts where agent_id = $1", [id]);
  const [agent] = await query("select client_cert_serial from agents where id = $1", [id]);
  await query(UNKNOWN_TABLES);
  await query(`
    insert into host_metrics (id, organisation_id, host_id, recorded_at)
      select 'm' || n, '${host?.organisation_id}', '${host?.id}', now() - n * interval '1 s' from generate_series(1, 25000) n;
    insert into checks (id, organisation_id, host_id, name, check_type, config)
      values ('c1', '${host?.organisation_id}', '${host?.id}', 'x', 'x', '{}');
    insert into check_results (id, check_id, host_id, organisation_id, ran_at, status)
      values ('cr1', 'c1', '${host?.id}', '${host?.organisation_id}', now(), 'pass');
    insert into pending_cert_signings (id, agent_id, csr_der) values ('p1', '${id}', '');
    insert into alert_rules values ('a1', '${host?.id}'); insert into alert_instances values ('ai1', 'a1', null);
    insert into notes values ('n1', '${host?.id}'); insert into billing.seats values ('s1', '${id}');`);
  const [doomedStream, otherStream] = [await openLiveStream(service, doomed), await openLiveStream(service, other)];

  // The deletion stops where it holds the host, and goes on after heartbeats of both.
  const holder = await connectTo(t, service.database.url);
  await holder.query("begin");
  await holder.query("select from checks for update");
  const deleted = runCommand(service.env, ["agent", "delete", "--yes", id]);
  await untilLockedOut(service.database);
  await t.rejects(query("select from hosts where agent_id = $1 for key share nowait", [id]), { code: "55P03" });
  doomedStream.send(heartbeat(id));
  for (let count = 0; count < 3; count++) {
    otherStream.send(heartbeat(other.agentId));
    t.match(await otherStream.next(), { ok: true }, "another agent's heartbeats go on meanwhile");
  }
  await holder.query("commit");
  const result = await deleted;

  t.match(result, {
    exitCode: 0,
    output: `deleted ${id} (doomed)`,
    errors: /^changing database \S+ on \S+ \(DATABASE_URL\)$/,
  });
  t.ok(
    result.progress.some((line) => /20000 metrics so far/.test(line)),
    "long work shows how far it is",
  );
  t.equal(result.progress.at(-1), "", "the live line is taken away");
  t.equal((await doomedStream.ended).code, Code.NOT_FOUND);

  const left = await query(`
    select (select count(*)::int from agents) as agents, (select count(*)::int from hosts) as hosts,
           (select count(*)::int from agent_status_history where agent_id = '${id}') as history,
           (select count(*)::int from host_metrics where host_id = '${host?.id}') as metrics,
           (select count(*)::int from check_results) as check_results,
           (select count(*)::int from alert_instances) as alert_instances,
           (select count(*)::int from notes) as notes, (select count(*)::int from billing.seats) as seats,
           (select usage_count from tags) as tag_uses, (select count(*)::int from resource_tags) as links`);
  t.same(left, [
    {
      agents: 1,
      hosts: 1,
      history: 0,
      metrics: 0,
      check_results: 0,
      alert_instances: 0,
      notes: 1,
      seats: 0,
      tag_uses: 1,
      links: 1,
    },
  ]);
  t.same(await query("select reason from revoked_certificates where serial = $1", [agent?.client_cert_serial]), [
    { reason: "agent deleted by an operator (ct-ops-ingest agent delete by tester)" },
  ]);
  const again = await register(service, await registration(doomed.key, token));
  t.not(again.agentId, id, "its key is a new one to the service");
  otherStream.end();
});

t.test("what keeps an agent from being deleted leaves all of it", async (t) => {
  const service = await startTestService(t);
  const { agentId } = await enrol(service, await service.createToken());
  const { query } = service.database;
  await query("create table tree (id text primary key, parent text references tree, agent_id text references agents)");
  await query(`insert into tree values ('root', null, $1), ('leaf', 'root', null)`, [agentId]);
  t.match(await runCommand(service.env, ["agent", "delete", "--yes", agentId, "nobody"]), {
    exitCode: 1,
    errors: /violates foreign key constraint.*"tree"\nerror: no agent has the id nobody/s,
  });
  t.match(await query("select count(*)::int from hosts"), [{ count: 1 }]);
  t.same(await query("select from revoked_certificates"), []);
});

t.test("a host that somebody holds is waited for", async (t) => {
  const service = await startTestService(t);
  const { agentId } = await enrol(service, await service.createToken());
  const holder = new pg.Client({ connectionString: service.database.url });
  await holder.connect();
  t.teardown(() => holder.end());
  await holder.query("begin");
  await holder.query("select from hosts for no key update");
  const deleted = runCommand(service.env, ["agent", "delete", "--yes", agentId]);
  // As everybody who holds the host may: the agent is locked after it.
  await holder.query("update agents set version = 'v2'");
  await holder.query("commit");
  t.match(await deleted, { exitCode: 0 });
});

t.test("hosts, then agents, then tags: a deletion that waits for a tag holds its agent already", async (t) => {
  const service = await startTestService(t);
  const tags = [{ key: "role", value: "web" }];
  const { agentId } = await enrol(service, await service.createToken({ tags }));
  const holder = await connectTo(t, service.database.url);
  await holder.query("begin");
  await holder.query("select from tags for no key update");
  const deleted = runCommand(service.env, ["agent", "delete", "--yes", agentId]);
  await untilLockedOut(service.database);
  await t.rejects(service.database.query("select from agents for key share nowait"), { code: "55P03" });
  await holder.query("commit");
  t.match(await deleted, { exitCode: 0 });
});
