import t from "tap";
import { InstalledAgent } from "../support/agents/installed-agent.js";
import type { SentReport } from "../support/agents/installed-work.js";
import { insertCheck, insertQuery, insertRun, readTasks, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";
import { startTcpProxy } from "../support/wire/tcp-proxy.js";

const AGENTS = 6;
const ENDED = ["success", "failed", "cancelled"];

/** Notes each row of a task that ends, and each that is touched after its end. */
const AUDIT = `
  create table task_ends (task_id text, was_ended boolean);
  create function note_task_end() returns trigger language plpgsql as $$
  begin
    if new.status in ('success', 'failed', 'cancelled') then
      insert into task_ends values (new.id, old.status in ('success', 'failed', 'cancelled'));
    end if;
    return new;
  end $$;
  create trigger note_task_end after update on task_run_hosts for each row execute function note_task_end();`;

t.test("work goes through cuts, restarts and a database that drops its connections", async (t) => {
  const timing = { work: { scanMs: 200, housekeepingMs: 200 } };
  const first = await startTestService(t, { timing });
  const second = await startTestService(t, { of: first, timing });
  const { database } = first;
  await database.query(AUDIT);
  const proxies = [await startTcpProxy(t, first.grpcPort), await startTcpProxy(t, second.grpcPort)];
  const orgToken = await first.createToken();
  const homes = Array.from({ length: AGENTS }, (_, n) => ({ ca: first.ca, address: "", n }));
  const settle = (shift: number) => {
    for (const home of homes) home.address = `localhost:${proxies[(home.n + shift) % 2]?.port}`;
  };
  settle(0);
  const agents = homes.map((home, n) => new InstalledAgent(home, { orgToken, hostname: `web-${n}` }));
  for (const agent of agents) {
    t.teardown(() => agent.stop());
    const acknowledged = agent.next("acknowledged");
    agent.start();
    await acknowledged;
  }
  const hosts = await database.query<TestHost & Record<string, unknown>>(
    `select agent_id as "agentId", id as "hostId", organisation_id as "organisationId" from hosts order by hostname`,
  );
  for (const host of hosts) await insertCheck(database, host);

  const taskIds: string[] = [];
  const scriptIds = new Set<string>();
  const give = async () => {
    const scripts = await insertRun(database, hosts, { maxParallel: 2 });
    const inventories = await insertRun(database, hosts, { type: "software_inventory" });
    for (const id of scripts.taskIds) scriptIds.add(id);
    taskIds.push(...scripts.taskIds, ...inventories.taskIds);
    for (const host of hosts) await insertQuery(database, host);
  };
  const anyAcknowledged = () => Promise.all(agents.map((agent) => agent.next("acknowledged")));
  const faults: (() => Promise<unknown>)[] = [
    async () => proxies[0]?.cut(),
    async () => proxies[1]?.cutAfter(600, "to client"),
    async () => proxies[0]?.cutAfter(900, "to server"),
    () =>
      database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'ct-ops-ingest'`,
      ),
    async () => {
      await first.close();
      await startTestService(t, { of: second, grpcPort: first.grpcPort, timing });
    },
    async () => {
      for (const agent of agents.slice(0, 2)) await agent.stop();
      for (const agent of agents.slice(0, 2)) agent.start();
    },
    async () => {
      settle(1);
      for (const proxy of proxies) proxy.cut();
    },
  ];
  const acknowledgedReports = () =>
    agents.flatMap(({ workLog }) => workLog.reports.filter((report) => report.isAcknowledged));
  const endsOfScripts = (reports: readonly SentReport[]) =>
    reports.flatMap(({ taskResults }) => taskResults).filter(({ taskId }) => scriptIds.has(taskId));
  // Once without a fault: on a busy machine it might be that nothing comes through between two of them.
  await give();
  await eventually(
    async () => acknowledgedReports(),
    (reports) => endsOfScripts(reports).length > 0 && reports.some(({ queryResults }) => queryResults.length > 0),
  );
  for (const fault of faults) {
    await give();
    await eventually(
      () => database.query("select from task_run_hosts where status = 'running'"),
      (rows) => rows.length > 0,
    );
    await fault();
    await anyAcknowledged();
  }

  // An inventory is sent again on the next stream; of anything else nobody knows whether its agent ever had it.
  for (const proxy of proxies) proxy.cut();
  await anyAcknowledged();
  // What is acknowledged after this may have come after its task was given up.
  const reports = acknowledgedReports();
  const age = async () => {
    await database.query(
      `update task_run_hosts r set started_at = r.started_at - interval '61 minutes'
       from task_runs run where run.id = r.task_run_id and run.task_type = 'custom_script' and r.status = 'running'
         and r.started_at < now() - interval '2 seconds'`,
    );
    return readTasks(database, taskIds);
  };
  const rows = await eventually(age, (all) => all.every(({ status }) => ENDED.includes(status)));
  t.equal(rows.length, (1 + faults.length) * AGENTS * 2);
  t.same(
    await database.query(
      "select status, count(*)::int from task_runs group by 1 having status in ('running', 'pending')",
    ),
    [],
    "every run is closed",
  );

  const ends = await database.query<{ task_id: string; count: number; late: boolean }>(
    "select task_id, count(*)::int as count, bool_or(was_ended) as late from task_ends group by 1",
  );
  t.equal(ends.length, rows.length);
  t.same(
    ends.filter(({ count, late }) => count !== 1 || late),
    [],
    "each ends exactly once, and is not touched after it",
  );

  const begun = agents.flatMap(({ workLog }) => workLog.begun).filter((id) => scriptIds.has(id));
  t.equal(new Set(begun).size, begun.length, "no script is sent twice");
  const byId = new Map(rows.map((row) => [row.id, row]));
  const acknowledged = acknowledgedReports();
  for (const { taskId, error } of endsOfScripts(reports)) {
    t.match(byId.get(taskId), { status: "failed", exit_code: -1, raw_output: error }, taskId);
  }

  const stored = await database.query<{ output: string; count: number }>(
    "select output, count(*)::int as count from check_results group by 1",
  );
  t.same(
    stored.filter(({ count }) => count > 1),
    [],
    "no result of a check is stored twice",
  );
  const outputs = new Set(stored.map(({ output }) => output));
  const lost = acknowledged.flatMap(({ checkResults }) => checkResults).filter(({ output }) => !outputs.has(output));
  t.same(lost, [], "and none is lost that was acknowledged");
  const answers = acknowledged.flatMap(({ queryResults }) => queryResults.map(({ queryId }) => queryId));
  t.same(
    await database.query("select id, status from agent_queries where id = any($1) and status <> 'complete'", [answers]),
    [],
  );
  const inventories = rows.filter(({ id }) => !scriptIds.has(id));
  t.ok(inventories.some(({ status }) => status === "success"));
  const packages = await database.query<{ count: number }>(
    "select count(*)::int as count from software_packages where removed_at is null group by host_id",
  );
  for (const { count } of packages) t.equal(count, 2);

  await Promise.all(agents.map((agent) => agent.stop()));
  await eventually(
    async () => proxies.reduce((sum, { open }) => sum + open, 0),
    (open) => open === 0,
  );
});
