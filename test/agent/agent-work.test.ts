import { once } from "node:events";
import t, { type Test } from "tap";
import { Agent, type AgentObserver, createAgentKey, type WorkHandlers } from "../../dist/agent/index.js";
import { insertCheck, insertQuery, insertRun, readTasks, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

const service = await startTestService(t);
const { database } = service;

/** An agent that says something by itself once an hour: whatever is heard of it sooner was awaited. */
async function startAgent(t: Test, work: WorkHandlers, observer: AgentObserver = {}): Promise<TestHost> {
  let onOpen = () => {};
  const open = new Promise<void>((resolve) => {
    onOpen = resolve;
  });
  let agentId = "";
  const agent = new Agent({
    ...service,
    key: createAgentKey(),
    token: await service.createToken(),
    description: { hostname: t.name.slice(0, 20).replaceAll(/\W/g, "-"), version: "v1", os: "linux", arch: "amd64" },
    heartbeatIntervalMs: 3_600_000,
    readVitals: () => ({ cpuPercent: 1 }),
    work,
    observer: {
      ...observer,
      onEnrolled: (identity) => {
        agentId = identity.agentId;
      },
      onStreamOpened: onOpen,
    },
  });
  agent.start();
  t.teardown(() => agent.stop());
  await open;
  const [row] = await database.query("select id, organisation_id from hosts where agent_id = $1", [agentId]);
  return { agentId, hostId: String(row?.id), organisationId: String(row?.organisation_id) };
}

async function ended(taskIds: readonly string[]) {
  return eventually(
    () => readTasks(database, taskIds),
    (tasks) => tasks.every(({ completed_at }) => completed_at !== null),
  );
}

async function answerOf(queryId: string) {
  const [row] = await eventually(
    () => database.query("select status, result, error from agent_queries where id = $1", [queryId]),
    ([query]) => query?.status !== "pending",
  );
  return row;
}

t.test("what the handlers find out reaches the tables", async (t) => {
  const host = await startAgent(t, {
    check: ({ config }) => ({ status: "fail", output: JSON.stringify(config) }),
    query: async ({ type }) => {
      if (type === "list_ports") return { ports: [{ port: 22, protocol: "tcp" }] };
      throw new Error("no systemd here");
    },
    task: async ({ type }, { print }) => {
      print(`${type} begins`);
      return { exitCode: 0, result: { exit_code: 0 } };
    },
    inventory: () => ({
      source: "rpm",
      packages: Array.from({ length: 1_001 }, (_, index) => ({ name: `p${index}`, version: "1" })),
    }),
  });
  const checkId = await insertCheck(database, host);
  const { taskIds } = await insertRun(database, [host]);
  const scan = await insertRun(database, [host], { type: "software_inventory" });
  t.match(await ended([...taskIds, ...scan.taskIds]), [
    { status: "success", raw_output: /custom_script begins/, result: { exit_code: 0 } },
    { status: "success", result: { package_count: 1_001, source: "rpm" } },
  ]);
  const [ports, services] = [await insertQuery(database, host), await insertQuery(database, host, "list_services")];
  t.match(await answerOf(ports), { status: "complete", result: { ports: [{ port: 22, protocol: "tcp" }] } });
  t.match(await answerOf(services), { status: "error", error: "no systemd here" });
  const results = await database.query("select status, output from check_results where check_id = $1", [checkId]);
  t.match(results, [{ status: "fail", output: /"port":22/ }], "with the message that carried something else");
});

t.test("what has no handler is answered all the same", async (t) => {
  const host = await startAgent(t, {});
  const { taskIds } = await insertRun(database, [host], { type: "software_inventory" });
  t.match(await ended(taskIds), [{ status: "failed", exit_code: -1, raw_output: /carries out no tasks/ }]);
  t.match(await answerOf(await insertQuery(database, host)), { status: "error", error: /answers no queries/ });
});

t.test("a task is stopped", async (t) => {
  const host = await startAgent(t, {
    task: async (_, { signal }) => {
      await once(signal, "abort");
      return { exitCode: 130 };
    },
  });
  const { taskIds } = await insertRun(database, [host]);
  await eventually(
    () => readTasks(database, taskIds),
    ([task]) => task?.status === "running",
  );
  await database.query("update task_run_hosts set status = 'cancelling' where id = $1", taskIds);
  t.match(await ended(taskIds), [{ status: "cancelled", exit_code: 130 }]);
});
