import t, { type Test } from "tap";
import { createLogger } from "../../dist/observe/logger.js";
import { Metrics } from "../../dist/observe/metrics.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import { NO_CHECKS } from "../../dist/work/dispatch/check-definitions.js";
import { WorkEvents } from "../../dist/work/events.js";
import { ReportWriter } from "../../dist/work/reports/report-writer.js";
import type { RawWorkReport } from "../../dist/work/reports/work-report.js";
import { createTestDatabase } from "../support/database/database.js";
import {
  insertCheck,
  insertHosts,
  insertQuery,
  insertRun,
  readRunStatus,
  readTasks,
  type TestHost,
} from "../support/database/work-rows.js";
import { reportOf, reportTo } from "../support/work-desk.js";

const KIB = 1024;

const database = await createTestDatabase(t);
const [own, other] = (await insertHosts(database, 2)) as [TestHost, TestHost];
const store = openDatabase({ url: database.url, maxConnections: 2 });
t.teardown(() => store.close());
const lines: Record<string, unknown>[] = [];
const logger = createLogger("info", { write: (line: string) => void lines.push(JSON.parse(line)) });
const metrics = new Metrics().work;
const writer = new ReportWriter({
  outbox: createClosedOutbox(),
  database: store,
  events: new WorkEvents(logger, metrics),
});

const report = reportTo(writer);

function result(checkId: string, fields: Partial<RawWorkReport["checkResults"][number]> = {}) {
  const ranAtUnix = BigInt(Math.floor(Date.now() / 1000) - 60);
  return { checkId, status: "pass", output: "open", durationMs: 3, ranAtUnix, ...fields };
}

function resultsOf(checkId: string) {
  return database.query<{ status: string; output: string; duration_ms: number; ran_at: Date }>(
    "select status, output, duration_ms, ran_at from check_results where check_id = $1 order by ran_at desc, id",
    [checkId],
  );
}

t.test("a result of a check is stored", async (t) => {
  const checkId = await insertCheck(database, own);
  await report(own, { checkResults: [result(checkId, { ranAtUnix: 1_700_000_000n })] });
  const [row] = await resultsOf(checkId);
  t.match(row, { status: "pass", output: "open", duration_ms: 3, ran_at: new Date(1_700_000_000_000) });
});

t.test("results that nobody may have, or wants, are dropped and logged, and prune nothing", async (t) => {
  const foreign = await insertCheck(database, other);
  await report(other, { checkResults: [result(foreign)] });
  const disabled = await insertCheck(database, own, { enabled: false });
  const deleted = await insertCheck(database, own);
  await database.query("update checks set deleted_at = now() where id = $1", [deleted]);
  const good = await insertCheck(database, own);
  lines.length = 0;
  const wanted = [foreign, disabled, deleted, "unknown", good].map((id) => result(id));
  await report(own, { checkResults: wanted });
  t.same((await resultsOf(foreign)).length, 1, "another host's check keeps what its own agent reported");
  for (const id of [disabled, deleted, "unknown"]) t.same(await resultsOf(id), [], id);
  t.equal((await resultsOf(good)).length, 1, "what is good in the same message is stored");
  t.match(lines, [{ kind: "check", count: 4, hostId: own.hostId }]);
  lines.length = 0;
  // What an agent says of the check that stands for none.
  await report(own, { checkResults: [result(NO_CHECKS.checkId, { status: "error" })] });
  t.same(lines, [], "nobody is told of it");
});

t.test("what an agent reports is brought within bounds", async (t) => {
  const id = await insertCheck(database, own);
  const future = 9_223_372_036_854_775_807n;
  const receivedAt = new Date();
  await report(
    own,
    {
      checkResults: [
        result(id, { output: `a\0b${"x".repeat(100 * KIB)}`, ranAtUnix: future, status: "what?", durationMs: -5 }),
        result(id, { output: "\ud800", ranAtUnix: -1n }),
      ],
    },
    receivedAt,
  );
  const rows = await resultsOf(id);
  t.same(
    rows.map(({ ran_at }) => ran_at),
    [receivedAt, receivedAt],
    "no time after the receipt, which would be kept for ever",
  );
  const cut = rows.find(({ output }) => output.startsWith("ab"));
  t.match(cut, { status: "error", duration_ms: 0, output: /x\n\[cut: it is longer than 64 KiB\]$/ });
  t.ok(Buffer.byteLength(cut?.output ?? "") < 65 * KIB);
  t.ok(rows.some(({ output }) => output === "\ufffd"));
});

t.test("the newest 100 results of a check are kept", async (t) => {
  const id = await insertCheck(database, own);
  const untouched = await insertCheck(database, own);
  await report(own, { checkResults: [result(untouched)] });
  const many = Array.from({ length: 130 }, (_, n) => result(id, { ranAtUnix: BigInt(1_700_000_000 + n) }));
  await report(own, { checkResults: many.slice(0, 90) });
  await report(own, { checkResults: many.slice(90) });
  const rows = await resultsOf(id);
  t.equal(rows.length, 100);
  t.same(rows.at(-1)?.ran_at, new Date(1_700_000_030_000));
  for (const length of [60, 120]) {
    await report(own, { checkResults: Array.from({ length }, () => result(id, { ranAtUnix: 1_700_000_200n })) });
  }
  t.equal((await resultsOf(id)).length, 100, "also of results of one and the same second");
  t.equal((await resultsOf(untouched)).length, 1);
});

t.test("answers to queries", async (t) => {
  const ports = await insertQuery(database, own, "list_ports");
  const services = await insertQuery(database, own, "list_services");
  const failed = await insertQuery(database, own, "list_ports");
  const foreign = await insertQuery(database, other, "list_ports");
  const answer = { status: "ok", error: "", ports: [], services: [] };
  await report(own, {
    queryResults: [
      // The row's type decides: what the agent says of the type is not looked at.
      {
        ...answer,
        queryId: ports,
        ports: [{ port: 22, protocol: "tcp", process: "" }],
        services: [{ name: "x", loadState: "", activeSub: "" }],
      },
      { ...answer, queryId: services },
      { ...answer, queryId: failed, status: "error", error: "no ss\0" },
      { ...answer, queryId: foreign },
    ],
  });
  const read = async (id: string) =>
    (await database.query("select status, result, error, completed_at from agent_queries where id = $1", [id]))[0];
  t.match(await read(ports), { status: "complete", error: null, completed_at: Date });
  t.same((await read(ports))?.result, { ports: [{ port: 22, protocol: "tcp" }] }, "empty members are left out");
  t.same((await read(services))?.result, { services: [] }, "an empty list and not null, which shows as nothing");
  t.match(await read(failed), { status: "error", result: null, error: "no ss" });
  t.match(await read(foreign), { status: "pending" }, "another host's query");
  await report(own, { queryResults: [{ ...answer, queryId: ports, status: "error", error: "late" }] });
  t.match(await read(ports), { status: "complete" }, "only while it is pending");
});

t.test("a task that runs prints, and ends", async (t) => {
  const { runId, taskIds } = await insertRun(database, [own], { status: "running" });
  const [taskId = ""] = taskIds;
  await report(own, { taskProgress: [{ taskId, outputChunk: "one\n" }] });
  // Progress and the end of it in one message: progress is first, whatever the order of the fields.
  await report(own, {
    taskProgress: [
      { taskId, outputChunk: "two\0\n" },
      { taskId, outputChunk: "three\n" },
    ],
    taskResults: [{ taskId, exitCode: 0, resultJson: '{"exit_code": 0}', error: "" }],
  });
  const [row] = await readTasks(database, taskIds);
  t.match(row, { status: "success", exit_code: 0, raw_output: "one\ntwo\nthree\n", completed_at: Date });
  t.same(row?.result, { exit_code: 0 });
  t.equal(await readRunStatus(database, runId), "completed");
});

t.test("how a task ends", async (t) => {
  const ends = async (t: Test, status: string, part: object, expected: object, runStatus: string) => {
    const { runId, taskIds } = await insertRun(database, [own], { status });
    const taskResult = { taskId: taskIds[0] ?? "", exitCode: 0, resultJson: "", error: "", ...part };
    await report(own, { taskResults: [taskResult] });
    t.match((await readTasks(database, taskIds))[0], expected);
    t.equal(await readRunStatus(database, runId), runStatus);
  };
  const error = "no such file";
  await ends(t, "running", { exitCode: 2, error }, { status: "failed", exit_code: 2, raw_output: error }, "failed");
  await ends(t, "running", { exitCode: -1 }, { status: "failed", exit_code: -1, raw_output: "" }, "failed");
  await ends(t, "cancelling", {}, { status: "cancelled", exit_code: 0 }, "cancelled");
  await ends(t, "pending", {}, { status: "success" }, "completed");
  for (const resultJson of ["{", "not json", '{"a": NaN}', "[".repeat(20_000)]) {
    await ends(t, "running", { resultJson }, { status: "success", result: null }, "completed");
  }
  await ends(
    t,
    "running",
    { resultJson: '{"a\\u0000": "b\\u0000\\ud800"}' },
    { result: { a: "b\ufffd" } },
    "completed",
  );
});

t.test("a task that has ended keeps its end", async (t) => {
  for (const status of ["success", "failed", "skipped", "cancelled"]) {
    const { taskIds } = await insertRun(database, [own], { status });
    const [taskId = ""] = taskIds;
    lines.length = 0;
    await report(own, {
      taskProgress: [{ taskId, outputChunk: "late" }],
      taskResults: [{ taskId, exitCode: 0, resultJson: "{}", error: "late" }],
    });
    t.match((await readTasks(database, taskIds))[0], { status, raw_output: "", result: null, exit_code: null });
    t.match(lines, [{ kind: "task", count: 2 }]);
  }
});

t.test("what an agent says of an inventory whose upload has ended it is no news", async (t) => {
  const { taskIds } = await insertRun(database, [own, other], { type: "software_inventory", status: "success" });
  const end = (taskId = "") => ({ taskId, exitCode: 0, resultJson: "{}", error: "" });
  lines.length = 0;
  await report(own, { taskResults: [end(taskIds[0])] });
  t.same(lines, []);
  t.match((await readTasks(database, taskIds))[0], { status: "success", result: null });
  await report(own, { taskResults: [end(taskIds[1])] });
  t.match(lines, [{ kind: "task", count: 1 }], "of another host's it is");
});

t.test("another host's task is not touched", async (t) => {
  const { taskIds } = await insertRun(database, [other], { status: "running" });
  const [taskId = ""] = taskIds;
  await report(own, {
    taskProgress: [{ taskId, outputChunk: "evil" }],
    taskResults: [{ taskId, exitCode: 0, resultJson: "{}", error: "" }],
  });
  t.match((await readTasks(database, taskIds))[0], { status: "running", raw_output: "" });
});

t.test("a run ends with its last row, whichever two end at once", async (t) => {
  const hosts = await insertHosts(database, 40);
  const second = openDatabase({ url: database.url, maxConnections: 2 });
  t.teardown(() => second.close());
  const elsewhere = new ReportWriter({
    outbox: createClosedOutbox(),
    database: second,
    events: new WorkEvents(createLogger("silent")),
  });
  const { runId, taskIds } = await insertRun(database, hosts, { status: "running" });
  await Promise.all(
    hosts.map((host, n) => {
      const taskResults = [{ taskId: taskIds[n] ?? "", exitCode: n === 7 ? 1 : 0, resultJson: "", error: "" }];
      const part = reportOf(host, { taskResults });
      return (n % 2 === 0 ? writer : elsewhere).write(host, part);
    }),
  );
  t.equal(await readRunStatus(database, runId), "failed");
});

t.test("output is cut, with a mark, once, and an error has room behind it", async (t) => {
  const { taskIds } = await insertRun(database, [own], { status: "running" });
  const [taskId = ""] = taskIds;
  for (let n = 0; n < 5; n++) {
    await report(own, { taskProgress: [{ taskId, outputChunk: "ä".repeat(150 * KIB) }] });
  }
  const error = `and why it failed: ${"x".repeat(100 * KIB)}`;
  await report(own, { taskResults: [{ taskId, exitCode: 1, resultJson: "", error }] });
  const [row] = await readTasks(database, taskIds);
  const output = row?.raw_output ?? "";
  t.ok(Buffer.byteLength(output) <= 1024 * KIB);
  t.equal(output.split("[output cut").length, 2);
  t.match(output, /it is longer than 900 KiB\]\n\nand why it failed: x+\n\[cut: it is longer than 64 KiB\]$/);
});

t.test("what agents bring back is counted, by what came of it", async (t) => {
  for (const counter of Object.values(metrics)) counter.reset();
  const checkId = await insertCheck(database, own);
  const queryId = await insertQuery(database, own);
  const { taskIds } = await insertRun(database, [own, own], { status: "running" });
  await report(own, {
    checkResults: [result(checkId), result(checkId, { status: "fail" }), result("unknown")],
    queryResults: [{ queryId, status: "ok", error: "", ports: [], services: [] }],
    taskResults: taskIds.map((taskId, exitCode) => ({ taskId, exitCode, resultJson: "", error: "" })),
  });
  const counted = async (counter: { get(): Promise<{ values: { labels: object; value: number }[] }> }) =>
    (await counter.get()).values.map(({ labels, value }) => ({ ...labels, value }));
  t.same(await counted(metrics.checkResults), [
    { status: "pass", value: 1 },
    { status: "fail", value: 1 },
  ]);
  t.same(await counted(metrics.workRefused), [{ kind: "check", value: 1 }]);
  t.same(await counted(metrics.queriesCompleted), [{ status: "complete", value: 1 }]);
  const ends = await counted(metrics.tasksFinished);
  t.same(
    ends.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    [
      { status: "failed", value: 1 },
      { status: "success", value: 1 },
    ],
  );
});
