import type pg from "pg";
import t from "tap";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { ReportWriter } from "../../dist/work/reports/report-writer.js";
import type { RawWorkReport } from "../../dist/work/reports/work-report.js";
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
import { openStore, quietEvents, reportTo } from "../support/work-desk.js";

const database = await createTestDatabase(t);
const [own, other] = (await insertHosts(database, 2)) as [TestHost, TestHost];
const writer = new ReportWriter({
  outbox: createClosedOutbox(),
  database: openStore(t, database),
  events: quietEvents(),
});

const report = reportTo(writer);

/** What a task prints, and its end, in one message. */
function end(taskId = "", outputChunk = "out"): Partial<RawWorkReport> {
  return {
    taskProgress: [{ taskId, outputChunk }],
    taskResults: [{ taskId, exitCode: 0, resultJson: "", error: "" }],
  };
}

/** Resolves when whatever was reported until now was tried: what is reported later is stored by then. */
async function othersAreStored(): Promise<void> {
  const checkId = await insertCheck(database, other);
  await report(other, { checkResults: [{ checkId, status: "pass", output: "", durationMs: 1, ranAtUnix: 1n }] });
  const stored = await database.query("select from check_results where check_id = $1", [checkId]);
  if (stored.length !== 1) throw new Error("acknowledged, and not stored");
}

/** Begins a transaction of somebody else that holds rows. */
async function hold(sql: string, values: unknown[]): Promise<pg.Client> {
  const holder = await connectTo(t, database.url);
  await holder.query("begin");
  await holder.query(sql, values);
  return holder;
}

t.test("a row that somebody holds holds up only the agent that brings something for it", async (t) => {
  const run = await insertRun(database, [own, other], { status: "running" });
  const [taskId = "", otherTask = ""] = run.taskIds;
  const elsewhere = await insertRun(database, [other], { status: "running" });
  const queryId = await insertQuery(database, own);
  const answer = { queryId, status: "ok", error: "", ports: [], services: [] };
  const held: [string, string, string, Partial<RawWorkReport>][] = [
    ["the host", "hosts", own.hostId, { taskProgress: [{ taskId, outputChunk: "1" }] }],
    ["the row, for what it prints", "task_run_hosts", taskId, { taskProgress: [{ taskId, outputChunk: "2" }] }],
    ["the query", "agent_queries", queryId, { queryResults: [answer] }],
    ["the run", "task_runs", run.runId, end(taskId, "3")],
  ];
  for (const [name, table, id, part] of held) {
    const holder = await hold(`select from ${table} where id = $1 for update`, [id]);
    let isStored = false;
    const blocked = report(own, part).then(() => {
      isStored = true;
    });
    await othersAreStored();
    await report(other, { taskProgress: [{ taskId: otherTask, outputChunk: "." }] });
    await othersAreStored();
    t.notOk(isStored, `${name}: not yet`);
    if (table === "task_runs") {
      await report(other, end(elsewhere.taskIds[0]));
      t.equal(await readRunStatus(database, elsewhere.runId), "completed", "another run is closed meanwhile");
    }
    await holder.query("commit");
    await blocked;
  }
  const [row, otherRow] = await readTasks(database, [taskId, otherTask]);
  t.match(row, { status: "success", raw_output: "123" });
  t.match(otherRow, { status: "running", raw_output: "...." });
  t.match(await database.query("select status from agent_queries where id = $1", [queryId]), [{ status: "complete" }]);
});

t.test("all that a message brings waits together, and is stored once", async (t) => {
  const { runId, taskIds } = await insertRun(database, [own], { status: "running" });
  const checkId = await insertCheck(database, own);
  const holder = await hold("select from task_runs where id = $1 for update", [runId]);
  const checkResults = [{ checkId, status: "pass", output: "", durationMs: 1, ranAtUnix: 1n }];
  const blocked = report(own, { ...end(taskIds[0]), checkResults });
  await othersAreStored();
  t.match(await readTasks(database, taskIds), [{ status: "running", raw_output: "" }]);
  t.same(await database.query("select from check_results where check_id = $1", [checkId]), []);
  await holder.query("commit");
  await blocked;
  t.match(await readTasks(database, taskIds), [{ status: "success", raw_output: "out" }]);
  t.equal((await database.query("select from check_results where check_id = $1", [checkId])).length, 1);
});

t.test("what an agent brings on its next stream does not go past what waits", async (t) => {
  const hosts = await insertHosts(database, 60);
  const { taskIds } = await insertRun(database, hosts, { status: "running" });
  const holder = await hold("select from task_run_hosts where id = any($1) for update", [taskIds]);
  const reported: Promise<void>[] = [];
  for (const [n, host] of hosts.entries()) {
    const taskId = taskIds[n] ?? "";
    reported.push(report(host, { taskProgress: [{ taskId, outputChunk: "one " }] }));
    await othersAreStored();
    reported.push(report(host, end(taskId, "two")));
    await othersAreStored();
  }
  await holder.query("commit");
  await Promise.all(reported);
  const outputs = (await readTasks(database, taskIds)).map(({ raw_output }) => raw_output);
  t.same(new Set(outputs), new Set(["one two"]));
});

t.test("one host whose rows are locked leaves room for the others", async (t) => {
  const { runId, taskIds } = await insertRun(database, [own], { status: "running" });
  const holder = await hold("select from task_runs where id = $1 for update", [runId]);
  const outcomes = Array.from({ length: 80 }, () => report(own, end(taskIds[0], "x".repeat(900 * 1024))));
  const settled = Promise.allSettled(outcomes);
  await othersAreStored();
  await holder.query("commit");
  const refused = (await settled).flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  t.equal(refused.length, 76);
  t.match(refused[0], { code: "database_unavailable", cause: { message: /bytes of results of this host wait/ } });
  t.match(await readTasks(database, taskIds), [{ status: "success" }], "what is not refused is stored");
});

t.test("who stops a task while it ends never waits for a report that waits for him", async (t) => {
  const { runId, taskIds } = await insertRun(database, [own], { status: "running" });
  const lockRun: [string, string] = ["select from task_runs where id = $1 for no key update", runId];
  const stopTask: [string, string] = [
    "update task_run_hosts set status = 'cancelling' where id = $1",
    taskIds[0] ?? "",
  ];
  const stopRun: [string, string] = ["update task_runs set status = 'cancelling' where id = $1", runId];
  for (const [first, ...rest] of [
    [lockRun, stopTask, stopRun],
    [stopTask, stopRun],
  ] as [[string, string], ...[string, string][]][]) {
    await database.query("update task_run_hosts set status = 'running', raw_output = '' where id = any($1)", [taskIds]);
    await database.query("update task_runs set status = 'running' where id = $1", [runId]);
    const webApp = await connectTo(t, database.url);
    // Of two that wait for each other it would be told.
    await webApp.query("set deadlock_timeout = '10ms'");
    await webApp.query("begin");
    await webApp.query(first[0], [first[1]]);
    const reported = report(own, end(taskIds[0]));
    await othersAreStored();
    for (const [sql, id] of rest) await webApp.query(sql, [id]);
    await webApp.query("commit");
    await reported;
    t.match(await readTasks(database, taskIds), [{ status: "cancelled", raw_output: "out" }]);
    t.equal(await readRunStatus(database, runId), "cancelled");
  }
});

t.test("a task of another host locks nothing, and waits for nothing", async (t) => {
  const { runId, taskIds } = await insertRun(database, [other], { status: "running" });
  const holder = await hold("select from task_runs where id = $1 for update", [runId]);
  await report(own, end(taskIds[0]));
  await holder.query("rollback");
  t.match(await readTasks(database, taskIds), [{ status: "running", raw_output: "" }]);
});
