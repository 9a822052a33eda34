import { toBinary } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { HeartbeatResponseSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { createLogger } from "../../dist/observe/logger.js";
import { createClosedOutbox, type Outbox } from "../../dist/outbox/outbox.js";
import { toPushResponse } from "../../dist/rpc/messages/work-messages.js";
import { Dispatcher } from "../../dist/work/dispatch/dispatcher.js";
import { WorkEvents } from "../../dist/work/events.js";
import { connectTo, createTestDatabase } from "../support/database/database.js";
import {
  insertCheck,
  insertHosts,
  insertQuery,
  insertRun,
  readRunStatus,
  readTasks,
  type TestHost,
} from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { openStore, quietEvents, RecordingAgent } from "../support/work-desk.js";

const HOUR_MS = 3_600_000;
const NEVER_MS = 2 ** 30;
/** Bytes of a message that gRPC in Go takes unless told otherwise. */
const RELEASED_AGENTS_LIMIT = 4 * 1024 * 1024;

const database = await createTestDatabase(t);

interface DispatcherOptions {
  scanIntervalMs?: number;
  /** In whose transactions tasks are started, and put back. */
  outbox?: Outbox;
  events?: WorkEvents;
}

/** One instance's dispatcher. Nothing is scanned by itself unless told. */
function startDispatcher(
  t: Test,
  { scanIntervalMs = NEVER_MS, outbox = createClosedOutbox(), events = quietEvents() }: DispatcherOptions = {},
): Dispatcher {
  const dispatcher = new Dispatcher({
    outbox,
    database: openStore(t, database),
    events,
    maxAgeMs: 24 * HOUR_MS,
    scanIntervalMs,
  });
  t.teardown(() => dispatcher.stop());
  return dispatcher;
}

/** An outbox around whose transactions something happens; they are counted from one. */
function outboxWith(around: { before?: (nth: number) => Promise<void>; after?: (nth: number) => void }): Outbox {
  const outbox = createClosedOutbox();
  let count = 0;
  return {
    transaction: async (...args) => {
      const nth = ++count;
      await around.before?.(nth);
      const result = await outbox.transaction(...args);
      around.after?.(nth);
      return result;
    },
  };
}

async function oneHost(): Promise<TestHost> {
  const [host] = await insertHosts(database, 1);
  if (host === undefined) throw new Error("no host");
  return host;
}

t.test("a session that opens is sent all that is due for its host", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const checkId = await insertCheck(database, host);
  await insertCheck(database, host, { enabled: false });
  const queryId = await insertQuery(database, host);
  const { taskIds } = await insertRun(database, [host]);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const [checks] = await agent.receives("checks");
  const config = { checkId, checkType: "port", configJson: '{"host": "localhost", "port": 22}', intervalSeconds: 60 };
  t.same(checks?.checks, [config], "as PostgreSQL writes the config, since an agent compares text");
  const [queries] = await agent.receives("queries");
  t.same(queries?.queries, [{ queryId, queryType: "list_ports" }]);
  const [task] = await agent.receives("task");
  t.same(task?.task, { taskId: taskIds[0], taskType: "custom_script", configJson: '{"script": "true"}' });
  t.match((await readTasks(database, taskIds))[0], { status: "running", started_at: Date });
});

t.test("what changes while a session is open is sent once", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const first = await insertCheck(database, host);
  dispatcher.hear({ kind: "checks", hostId: host.hostId });
  await agent.receives("checks");
  await insertQuery(database, host);
  const renamed = await insertCheck(database, host, {
    check_type: "cert_file",
    config: { filePath: "/x", serverName: "s", timeoutSeconds: 5, file_path: "/kept", other: { filePath: "deep" } },
  });
  for (let n = 0; n < 3; n++) {
    dispatcher.hear({ kind: "checks", hostId: host.hostId });
    dispatcher.hear({ kind: "queries", hostId: host.hostId });
  }
  const [, checks] = await agent.receives("checks", 2);
  t.same(checks?.checks.map((check) => check.checkId).sort(), [first, renamed].sort(), "always the full list");
  const spelled = checks?.checks.find((check) => check.checkId === renamed)?.configJson ?? "";
  t.same(JSON.parse(spelled), {
    filePath: "/x",
    server_name: "s",
    timeout_seconds: 5,
    file_path: "/kept",
    other: { filePath: "deep" },
  });
  const certificate = { filePath: "/etc/tls/server.pem", format: "pem" };
  const file = await insertCheck(database, host, { check_type: "cert_file", config: certificate });
  dispatcher.hear({ kind: "checks", hostId: host.hostId });
  const [, , withFile] = await agent.receives("checks", 3);
  const told = withFile?.checks.find((check) => check.checkId === file)?.configJson ?? "";
  t.same(JSON.parse(told), { file_path: "/etc/tls/server.pem", format: "pem" }, "the agent reads it under this name");
  dispatcher.hear({ kind: "everything" });
  await insertQuery(database, host);
  dispatcher.hear({ kind: "queries", hostId: host.hostId });
  const sentQueries = async () => agent.of("queries").flatMap(({ queries }) => queries);
  t.equal((await eventually(sentQueries, ({ length }) => length >= 2)).length, 2, "the same query is sent once");
  t.equal(agent.of("checks").length, 3, "unchanged checks are not sent again");
});

t.test("the last check that goes is replaced by one that does nothing", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const id = await insertCheck(database, host);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  await agent.receives("checks");
  await database.query("update checks set deleted_at = now() where id = $1", [id]);
  dispatcher.hear({ kind: "checks", hostId: host.hostId });
  const [, none] = await agent.receives("checks", 2);
  t.match(none?.checks, [{ checkType: "none", configJson: "{}", intervalSeconds: 2_147_483_647 }]);
  // Checks survive streams: the agent of a new one may still be running it.
  const again = new RecordingAgent();
  dispatcher.join(host, again.send);
  const [replaced] = await again.receives("checks");
  t.match(replaced?.checks, [{ checkType: "none" }]);
  const untouched = await oneHost();
  const newcomer = new RecordingAgent();
  dispatcher.join(untouched, newcomer.send);
  await insertQuery(database, untouched);
  dispatcher.hear({ kind: "queries", hostId: untouched.hostId });
  await newcomer.receives("queries");
  t.equal(newcomer.of("checks").length, 0, "a host that never had a check is sent none");
});

t.test("checks that one message cannot hold are left out, the largest first, with a line in the log", async (t) => {
  const host = await oneHost();
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger("info", { write: (line: string) => void lines.push(JSON.parse(line)) });
  const dispatcher = startDispatcher(t, { events: new WorkEvents(logger) });
  const insertSized = (bytes: number) => insertCheck(database, host, { config: { host: "ä".repeat(bytes / 2) } });
  const [huge, large] = [await insertSized(2_500_000), await insertSized(2_000_000)];
  const [small, medium] = [await insertCheck(database, host), await insertSized(1_500_000)];
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const [list] = await agent.receives("checks");
  t.same(list?.checks.map(({ checkId }) => checkId).sort(), [small, medium, large].sort());
  const size = toBinary(HeartbeatResponseSchema, toPushResponse({ kind: "checks", checks: list?.checks ?? [] })).length;
  t.ok(size < RELEASED_AGENTS_LIMIT, `${size} bytes`);
  t.match(lines, [{ level: "error", hostId: host.hostId, count: 1, ids: [huge] }]);

  const alone = await oneHost();
  await insertCheck(database, alone, { config: { host: "x".repeat(RELEASED_AGENTS_LIMIT) } });
  const other = new RecordingAgent();
  dispatcher.join(alone, other.send);
  const [none] = await other.receives("checks");
  t.match(none?.checks, [{ checkType: "none" }], "an empty list would change nothing");
});

t.test("a task that one message cannot hold has failed, says why, and closes its run", async (t) => {
  const host = await oneHost();
  const { runId, taskIds } = await insertRun(database, [host], { maxParallel: 1 });
  await database.query("update task_runs set config = jsonb_build_object('script', repeat('x', $2)) where id = $1", [
    runId,
    RELEASED_AGENTS_LIMIT,
  ]);
  const small = await insertRun(database, [host]);
  const agent = new RecordingAgent();
  startDispatcher(t).join(host, agent.send);
  const [first] = await agent.receives("task");
  t.equal(first?.task.taskId, small.taskIds[0]);
  t.match((await readTasks(database, taskIds))[0], { status: "failed", exit_code: -1, raw_output: /4 MiB/ });
  t.equal(await readRunStatus(database, runId), "failed");
});

t.test("the end of an old session takes nothing from the new one", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const old = dispatcher.join(host, new RecordingAgent().send);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  dispatcher.leave(old);
  await insertQuery(database, host);
  dispatcher.hear({ kind: "queries", hostId: host.hostId });
  await agent.receives("queries");
});

t.test("queries that are expired, answered or deleted are not sent", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  for (const set of ["expires_at = now()", "status = 'complete'", "deleted_at = now()"]) {
    await database.query(`update agent_queries set ${set} where id = $1`, [await insertQuery(database, host)]);
  }
  const good = await insertQuery(database, host, "list_services");
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const [queries] = await agent.receives("queries");
  t.same(queries?.queries, [{ queryId: good, queryType: "list_services" }]);
});

t.test("never more hosts run a task than max_parallel allows, over two instances", async (t) => {
  const hosts = await insertHosts(database, 40);
  const instances = [startDispatcher(t), startDispatcher(t)];
  const agents = hosts.map((host, n) => {
    const agent = new RecordingAgent();
    instances[n % 2]?.join(host, agent.send);
    return agent;
  });
  const { runId, taskIds } = await insertRun(database, hosts, { maxParallel: 3 });
  const running = async () => (await readTasks(database, taskIds)).filter(({ status }) => status === "running");
  const hearAll = () => {
    for (const instance of instances) for (let n = 0; n < 5; n++) instance.hear({ kind: "run", runId });
  };
  for (let done = 0; done < hosts.length; ) {
    hearAll();
    const now = await eventually(running, (rows) => rows.length >= Math.min(3, hosts.length - done));
    if (now.length > 3) t.fail(`${now.length} rows run at once`);
    await database.query("update task_run_hosts set status = 'success' where id = $1", [now[0]?.id]);
    done += 1;
  }
  const sent = agents.flatMap((agent) => agent.of("task").map(({ task }) => task.taskId));
  t.same([...sent].sort(), [...taskIds].sort(), "each task was sent once");
});

t.test("tasks that wait for room in their runs keep no other one of their host waiting", async (t) => {
  const [busy, host] = (await insertHosts(database, 2)) as [TestHost, TestHost];
  for (let n = 0; n < 10; n++) {
    const { taskIds } = await insertRun(database, [busy, host], { maxParallel: 1 });
    await database.query("update task_run_hosts set status = 'running', started_at = now() where id = $1", [
      taskIds[0],
    ]);
  }
  const { taskIds } = await insertRun(database, [host]);
  const agent = new RecordingAgent();
  startDispatcher(t).join(host, agent.send);
  const [first] = await agent.receives("task");
  t.equal(first?.task.taskId, taskIds[0]);
  t.equal(agent.of("task").length, 1);
});

t.test("tasks of deleted or stopped runs, and old ones, are not sent", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const touch = async (statement: string) => {
    const { runId, taskIds } = await insertRun(database, [host]);
    await database.query(statement, [statement.includes("task_runs") ? runId : taskIds[0]]);
    return taskIds;
  };
  const unsent = [
    ...(await touch("update task_run_hosts set deleted_at = now() where id = $1")),
    ...(await touch("update task_runs set deleted_at = now() where id = $1")),
    ...(await touch("update task_runs set status = 'cancelling' where id = $1")),
    ...(await touch("update task_run_hosts set created_at = now() - interval '25 hours' where id = $1")),
  ];
  // One of two rows of a run, which is looked at for the other one's sake.
  const { taskIds } = await insertRun(database, [host, host]);
  await database.query("update task_run_hosts set created_at = now() - interval '25 hours' where id = $1", [
    taskIds[1],
  ]);
  unsent.push(taskIds[1] ?? "");
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const [first] = await agent.receives("task");
  t.equal(first?.task.taskId, taskIds[0]);
  t.same(new Set((await readTasks(database, unsent)).map(({ status }) => status)), new Set(["pending"]));
});

t.test("a task that could not be sent waits again, and is sent on the next stream", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const deaf = new RecordingAgent();
  deaf.reads = false;
  const seat = dispatcher.join(host, deaf.send);
  const { runId, taskIds } = await insertRun(database, [host]);
  dispatcher.hear({ kind: "run", runId });
  await eventually(
    async () => deaf.refused,
    (refused) => refused > 0,
  );
  await eventually(
    async () => (await readTasks(database, taskIds))[0],
    (row) => row?.status === "pending",
  );
  for (let n = 0; n < 20; n++) dispatcher.hear({ kind: "run", runId });
  dispatcher.leave(seat);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const [task] = await agent.receives("task");
  t.equal(task?.task.taskId, taskIds[0]);
  t.equal(deaf.refused, 1, "it is not tried again and again while the agent takes nothing");
  t.match((await readTasks(database, taskIds))[0], { status: "running" });
});

t.test("a run or a row that somebody holds keeps the tasks of others from nobody", async (t) => {
  const [one, other, another] = (await insertHosts(database, 3)) as [TestHost, TestHost, TestHost];
  const { runId, taskIds } = await insertRun(database, [one]);
  const { taskIds: otherIds } = await insertRun(database, [other, another]);
  const holder = await connectTo(t, database.url);
  await holder.query("begin");
  await holder.query("select from task_runs where id = $1 for update", [runId]);
  await holder.query("select from task_run_hosts where id = $1 for update", [otherIds[0]]);
  const dispatcher = startDispatcher(t, { scanIntervalMs: 100 });
  const agents = [one, other, another].map((host) => {
    const agent = new RecordingAgent();
    dispatcher.join(host, agent.send);
    return agent;
  });
  const [agent, otherAgent, anotherAgent] = agents;
  t.match(await anotherAgent?.receives("task"), [{ task: { taskId: otherIds[1] } }]);
  t.same([agent?.pushes, otherAgent?.pushes], [[], []]);
  await holder.query("commit");
  t.match(await agent?.receives("task"), [{ task: { taskId: taskIds[0] } }]);
  t.match(await otherAgent?.receives("task"), [{ task: { taskId: otherIds[0] } }]);
});

t.test("a task that could not be sent, and whose run somebody holds, is put back once he does not", async (t) => {
  const [one, other] = (await insertHosts(database, 2)) as [TestHost, TestHost];
  const holder = await connectTo(t, database.url);
  const { runId, taskIds } = await insertRun(database, [one]);
  // Between its start and the attempt to put it back.
  const before = async (nth: number) => {
    if (nth === 2) await holder.query(`begin; select from task_runs where id = '${runId}' for update`);
  };
  const dispatcher = startDispatcher(t, { outbox: outboxWith({ before }) });
  const deaf = new RecordingAgent();
  deaf.reads = false;
  dispatcher.join(one, deaf.send);
  await eventually(
    async () => deaf.refused,
    (refused) => refused > 0,
  );
  const agent = new RecordingAgent();
  dispatcher.join(other, agent.send);
  const { runId: otherRun } = await insertRun(database, [other]);
  dispatcher.hear({ kind: "run", runId: otherRun });
  await agent.receives("task");
  t.match((await readTasks(database, taskIds))[0], { status: "running" });
  await holder.query("commit");
  await eventually(
    async () => (await readTasks(database, taskIds))[0],
    (row) => row?.status === "pending",
  );
});

t.test("nothing is started while a task that could not be sent is being put back", async (t) => {
  const host = await oneHost();
  const held: (() => void)[] = [];
  // The first transaction starts the task, the second one puts it back.
  const before = async (nth: number) => {
    if (nth === 2) await new Promise<void>((resolve) => held.push(resolve));
  };
  const dispatcher = startDispatcher(t, { outbox: outboxWith({ before }) });
  const deaf = new RecordingAgent();
  deaf.reads = false;
  const { runId, taskIds } = await insertRun(database, [host]);
  const seat = dispatcher.join(host, deaf.send);
  await eventually(
    async () => held.length,
    (count) => count > 0,
  );
  dispatcher.leave(seat);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  dispatcher.hear({ kind: "run", runId });
  // Many times as long as starting a task takes.
  for (let n = 0; n < 50; n++) await database.query("select 1");
  t.same([held.length, agent.of("task").length], [1, 0]);
  held[0]?.();
  await agent.receives("task");
  await dispatcher.stop();
  t.match((await readTasks(database, taskIds))[0], { status: "running" });
});

t.test("a task whose start was committed, although nobody heard of it, is sent once", async (t) => {
  const host = await oneHost();
  const after = (nth: number) => {
    if (nth === 1) throw Object.assign(new Error("the connection broke"), { code: "08006" });
  };
  const dispatcher = startDispatcher(t, { outbox: outboxWith({ after }) });
  const { taskIds } = await insertRun(database, [host], { maxParallel: 1 });
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const [task] = await agent.receives("task");
  t.equal(task?.task.taskId, taskIds[0]);
  t.match((await readTasks(database, taskIds))[0], { status: "running", started_at: Date });
  t.equal(agent.of("task").length, 1);
});

t.test("a task that was started elsewhere meanwhile is not put back", async (t) => {
  const host = await oneHost();
  const { taskIds } = await insertRun(database, [host]);
  // Its host has gone to another instance, which has started it anew by the time this one can put anything back.
  const before = async (nth: number) => {
    if (nth !== 2) return;
    await database.query("update task_run_hosts set started_at = now() where id = $1", [taskIds[0]]);
  };
  const outbox = outboxWith({ before });
  const dispatcher = startDispatcher(t, { outbox });
  const deaf = new RecordingAgent();
  deaf.reads = false;
  const seat = dispatcher.join(host, deaf.send);
  await eventually(
    async () => deaf.refused,
    (refused) => refused > 0,
  );
  dispatcher.leave(seat);
  await dispatcher.stop();
  t.match((await readTasks(database, taskIds))[0], { status: "running", started_at: Date });
});

t.test("a task that was stopped before it could be sent has ended, and so has its run", async (t) => {
  const host = await oneHost();
  const { runId, taskIds } = await insertRun(database, [host]);
  const before = async (nth: number) => {
    if (nth !== 2) return;
    await database.query("update task_run_hosts set status = 'cancelling' where id = $1", [taskIds[0]]);
    await database.query("update task_runs set status = 'cancelling' where id = $1", [runId]);
  };
  const dispatcher = startDispatcher(t, { outbox: outboxWith({ before }) });
  const deaf = new RecordingAgent();
  deaf.reads = false;
  dispatcher.join(host, deaf.send);
  const closed = await eventually(
    () => readRunStatus(database, runId),
    (status) => status !== "cancelling" && status !== "running" && status !== "pending",
  );
  t.equal(closed, "cancelled");
  t.match((await readTasks(database, taskIds))[0], { status: "cancelled", completed_at: Date });
});

t.test("more queries than one message holds are all sent", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const ids: string[] = [];
  for (let n = 0; n < 120; n++) ids.push(await insertQuery(database, host));
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const messages = await agent.receives("queries", 3);
  t.same(
    messages.map(({ queries }) => queries.length),
    [50, 50, 20],
  );
  t.same(new Set(messages.flatMap(({ queries }) => queries.map(({ queryId }) => queryId))), new Set(ids));
});

t.test("what could not be sent waits again also when the instance stops", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const { taskIds } = await insertRun(database, [host]);
  let refuse: ((isSent: boolean) => void) | undefined;
  dispatcher.join(host, () => new Promise<boolean>((resolve) => (refuse = resolve)));
  await eventually(
    async () => refuse !== undefined,
    (isOffered) => isOffered,
  );
  const stopped = dispatcher.stop();
  refuse?.(false);
  await stopped;
  t.match((await readTasks(database, taskIds))[0], { status: "pending", started_at: null });
});

t.test("an inventory that runs is sent again on the next stream, another task is not", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const inventory = await insertRun(database, [host], { type: "software_inventory", status: "running" });
  await insertRun(database, [host], { type: "custom_script", status: "running" });
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const waiting = await insertRun(database, [host]);
  dispatcher.hear({ kind: "run", runId: waiting.runId });
  await agent.receives("task", 2);
  t.same(
    agent.of("task").map(({ task }) => task.taskId),
    [inventory.taskIds[0], waiting.taskIds[0]],
  );
});

t.test("a cancellation is sent once in a stream", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  const { runId, taskIds } = await insertRun(database, [host], { status: "running" });
  await database.query("update task_run_hosts set status = 'cancelling' where id = $1", [taskIds[0]]);
  dispatcher.hear({ kind: "run", runId });
  const [cancellation] = await agent.receives("cancellations");
  t.same(cancellation?.taskIds, taskIds);
  dispatcher.hear({ kind: "run", runId });
  await insertQuery(database, host);
  dispatcher.hear({ kind: "queries", hostId: host.hostId });
  await agent.receives("queries");
  t.equal(agent.of("cancellations").length, 1);
  const next = new RecordingAgent();
  dispatcher.join(host, next.send);
  t.same((await next.receives("cancellations"))[0]?.taskIds, taskIds, "and once more in the next one");
});

t.test("a scan finds what was not notified", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t, { scanIntervalMs: 50 });
  const agent = new RecordingAgent();
  dispatcher.join(host, agent.send);
  await insertQuery(database, host);
  await agent.receives("queries");
  await insertCheck(database, host);
  await agent.receives("checks");
  await insertRun(database, [host]);
  await agent.receives("task");
  const before = agent.pushes.length;
  await insertQuery(database, host);
  await agent.receives("queries", 2);
  t.equal(agent.pushes.length, before + 1, "further scans send nothing twice");
});

t.test("a database that fails for a while loses nothing", async (t) => {
  const host = await oneHost();
  const dispatcher = startDispatcher(t);
  const agent = new RecordingAgent();
  const terminate = () =>
    database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'ct-ops-ingest'`,
    );
  dispatcher.join(host, agent.send);
  for (let n = 0; n < 5; n++) {
    await insertQuery(database, host);
    dispatcher.hear({ kind: "queries", hostId: host.hostId });
    await terminate();
  }
  await eventually(
    async () => agent.of("queries").flatMap(({ queries }) => queries).length,
    (count) => count === 5,
  );
});
