import { join } from "node:path";
import t, { type Test } from "tap";
import { type CliResult, runCommand } from "../support/commands/cli.js";
import { insertCheck, insertQuery, insertRun, readTasks, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

const service = await startTestService(t);

interface Run extends CliResult {
  report: Record<string, unknown>;
}

/** Runs it until the live line matches. */
async function simulate(token: string, until: RegExp | (() => boolean), ...more: string[]): Promise<Run> {
  const ca = join(service.directory, "tls", "server.crt");
  const where = ["--address", service.address, "--ca", ca, "--token", token];
  const args = ["simulate", ...where, "--interval", "50ms", "--json", ...more];
  const result = await runCommand(service.env, args, undefined, (line) =>
    until instanceof RegExp ? until.test(line) : until(),
  );
  return { ...result, report: JSON.parse(result.output.split("\n")[0] ?? "") };
}

async function listHosts(): Promise<{ hostname: string; ip_addresses: string[] | null }[]> {
  const rows = await service.database.query("select hostname, ip_addresses from hosts order by hostname");
  return rows.map(({ hostname, ip_addresses }) => ({ hostname, ip_addresses }));
}

async function clean(t: Test): Promise<void> {
  const rows = await service.database.query("select id from agents");
  if (rows.length > 0)
    t.equal(
      (await runCommand(service.env, ["agent", "delete", "--yes", ...rows.map(({ id }) => String(id))])).exitCode,
      0,
    );
}

t.test("each run has machines of its own, also with the same prefix", async (t) => {
  const token = await service.createToken();
  for (let run = 1; run <= 3; run++) {
    const { exitCode, report, errors } = await simulate(token, / open 2 /, "--agents", "2", "--prefix", "load");
    t.equal(exitCode, 0, errors);
    t.match(report, { agents: 2, enrolled: 2, waitingForApproval: 0, gotThrough: 2, errors: 0 });
    t.equal((await listHosts()).length, 2 * run);
  }
  const hosts = await listHosts();
  t.ok(hosts.every(({ hostname }) => /^load-[0-9a-f]{10}-000[12]$/.test(hostname)));
  t.equal(new Set(hosts.flatMap(({ ip_addresses }) => ip_addresses ?? [])).size, 6);
  await clean(t);
});

t.test("agents that do not get through make it fail, and it says what they wait for", async (t) => {
  const pending = await service.createToken({ autoApprove: false });
  const waiting = await simulate(pending, / pending 2 /, "--agents", "2");
  t.equal(waiting.exitCode, 1);
  t.match(waiting.report, { enrolled: 0, waitingForApproval: 2, gotThrough: 0 });
  t.match(
    waiting.errors,
    /2 of 2 agents did not get through: 2 wait for approval \(`agent list --status pending`\)"}$/m,
  );
  const single = await service.createToken({ maxUses: 1 });
  const half = await simulate(single, / open 1 .* errors [1-9]/, "--agents", "2");
  t.equal(half.exitCode, 1);
  t.match(half.report, { enrolled: 1, gotThrough: 1 });
  t.match(
    half.errors,
    /1 of 2 agents did not get through: 1 had no heartbeat acknowledged: .*enrolment token cannot be used/,
  );
  await clean(t);
});

t.test("a ramp spreads the starts, and who was not started did not get through", async (t) => {
  const token = await service.createToken();
  const { exitCode, report } = await simulate(token, / open 1 /, "--agents", "2", "--ramp", "1h");
  t.equal(exitCode, 1);
  t.match(report, { agents: 2, enrolled: 1, gotThrough: 1 });
  await clean(t);
});

t.test("--cleanup deletes what the run made, pending machines too, and nothing else", async (t) => {
  const token = await service.createToken();
  await simulate(token, / open 1 /, "--agents", "1", "--prefix", "kept");
  const { exitCode, errors } = await simulate(token, / open 2 /, "--agents", "2", "--cleanup");
  t.equal(exitCode, 0, errors);
  const pending = await service.createToken({ autoApprove: false });
  await simulate(pending, / pending 1 /, "--agents", "1", "--cleanup");
  t.match(await listHosts(), [{ hostname: /^kept-/ }]);
  await clean(t);
});

t.test("--work answers checks, queries and inventories", async (t) => {
  const { database } = service;
  let isDone = false;
  const running = simulate(await service.createToken(), () => isDone, "--agents", "1", "--work");
  const [row] = await eventually(
    () => database.query("select id, organisation_id, agent_id from hosts where status = 'online'"),
    (rows) => rows.length === 1,
  );
  const host = { hostId: row?.id, organisationId: row?.organisation_id, agentId: row?.agent_id } as TestHost;
  const checkId = await insertCheck(database, host, { check_type: "ssh_key_scan" });
  const queryId = await insertQuery(database, host, "list_services");
  const { taskIds } = await insertRun(database, [host], { type: "software_inventory" });
  const refused = await insertRun(database, [host], { type: "patch" });
  await eventually(
    async () => {
      const checked = await database.query("select status, output from check_results where check_id = $1", [checkId]);
      const [query] = await database.query("select status from agent_queries where id = $1", [queryId]);
      const tasks = await readTasks(database, [...taskIds, ...refused.taskIds]);
      return [checked[0]?.status, query?.status, ...tasks.map(({ status }) => status)].join(" ");
    },
    (states) => states === "pass complete success failed",
  );
  isDone = true;
  const { exitCode, report } = await running;
  t.equal(exitCode, 0);
  t.match(report, { checksRun: 1, queriesAnswered: 1, inventoriesTaken: 1, errors: 0 });
  const [packages] = await database.query("select count(*)::int as n from software_packages where host_id = $1", [
    row?.id,
  ]);
  t.equal(packages?.n, 300);
  await clean(t);
});

t.test("the live line fits 80 columns", async (t) => {
  const token = await service.createToken();
  const { progress } = await simulate(token, / open 2 .* p50 /, "--agents", "2");
  t.ok(progress.some((line) => /^enrolled 2\/2 open 2 acked \d+ p50 [\d.]+ p99 [\d.]+ ms errors 0$/.test(line)));
  t.ok(progress.every((line) => line.length < 80));
  await clean(t);
});

t.test("what cannot be a prefix is refused", async (t) => {
  for (const prefix of ["", "-x", "a b", "x".repeat(41), "ä"]) {
    const { exitCode, errors } = await runCommand(service.env, ["simulate", "--agents", "1", "--prefix", prefix]);
    t.equal(exitCode, 2);
    t.match(errors, /1 to 40 letters, digits and hyphens/);
  }
});
