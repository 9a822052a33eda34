import t from "tap";
import { createStoringOutbox } from "../../dist/outbox/storing-outbox.js";
import { Dispatcher } from "../../dist/work/dispatch/dispatcher.js";
import { Housekeeping } from "../../dist/work/housekeeping.js";
import { InventoryUploads } from "../../dist/work/inventory/inventory-uploads.js";
import { ReportWriter } from "../../dist/work/reports/report-writer.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase } from "../support/database/database.js";
import { readOutbox } from "../support/database/outbox-messages.js";
import { insertCheck, insertHosts, insertQuery, insertRun, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { openStore, quietEvents, RecordingAgent, reportTo } from "../support/work-desk.js";

const DAY_MS = 86_400_000;

const database = await createTestDatabase(t);
const publishing = { database: openStore(t, database), outbox: createStoringOutbox(), events: quietEvents() };
const [own, other] = (await insertHosts(database, 2)) as [TestHost, TestHost];
const place = { host_id: own.hostId, org_id: own.organisationId };

/** What was told of something since the last look. */
const seen = { "checks.raw": 0, "events.raw": 0 };
async function told(topic: keyof typeof seen): Promise<Record<string, unknown>[]> {
  const messages = (await readOutbox(database, topic)).slice(seen[topic]);
  seen[topic] += messages.length;
  return messages;
}

t.test("what agents bring back is told with what is stored of it", async (t) => {
  const report = reportTo(new ReportWriter(publishing));
  const check = await insertCheck(database, own);
  const foreign = await insertCheck(database, other);
  const query = await insertQuery(database, own);
  const run = await insertRun(database, [own], { status: "running" });
  const [taskId = ""] = run.taskIds;
  const result = { status: "fail", output: "refused", durationMs: 3, ranAtUnix: 1_700_000_000n };
  const taskResults = [{ taskId, exitCode: 3, resultJson: "", error: "" }];
  await report(own, {
    checkResults: [
      { checkId: check, ...result },
      { checkId: foreign, ...result },
    ],
    queryResults: [{ queryId: query, status: "ok", error: "", ports: [], services: [] }],
    taskResults,
  });
  const [stored] = await database.query("select id from check_results");
  t.match(await told("checks.raw"), [
    {
      message_id: stored?.id,
      type: "check.result",
      ...place,
      check_id: check,
      check_type: "port",
      status: "fail",
      output: "refused",
      duration_ms: 3,
      ran_at: "2023-11-14T22:13:20.000Z",
    },
  ]);
  t.match(await told("events.raw"), [
    { type: "task.finished", ...place, task_id: taskId, run_id: run.runId, status: "failed" },
    { type: "query.completed", ...place, query_id: query, status: "complete", error: null },
    { type: "work.refused", ...place, kind: "check", ids: [foreign], count: 1 },
  ]);
  await report(own, { taskResults });
  t.match(await told("events.raw"), [{ type: "work.refused", kind: "task", ids: [taskId], count: 1 }]);
});

t.test("a task is told when it begins, and when it ends without its agent", async (t) => {
  const dispatcher = new Dispatcher({ ...publishing, maxAgeMs: DAY_MS });
  t.teardown(() => dispatcher.stop());
  const run = await insertRun(database, [own]);
  const [taskId = ""] = run.taskIds;
  const agent = new RecordingAgent();
  dispatcher.join(own, agent.send);
  await agent.receives("task");
  const task = { ...place, task_id: taskId, run_id: run.runId };
  t.match(await told("events.raw"), [{ type: "task.started", ...task, task_type: "custom_script" }]);

  await database.query("update task_run_hosts set started_at = now() - interval '2 hours'");
  const keeper = new Housekeeping({ ...publishing, maxAgeMs: DAY_MS });
  t.teardown(() => keeper.stop());
  const ended = await eventually(
    () => told("events.raw"),
    (events) => events.length > 0,
  );
  t.match(ended, [{ type: "task.finished", ...task, status: "failed" }]);

  const waiting = await insertRun(database, [own]);
  const running = await insertRun(database, [own], { status: "running" });
  await runCommand({ DATABASE_URL: database.url, INGEST_AMQP_URL: "amqp://127.0.0.1:1" }, [
    "work",
    "cancel",
    ...waiting.taskIds,
    ...running.taskIds,
  ]);
  const cancelled = (await told("events.raw")).filter(({ type }) => type === "task.finished");
  t.match(cancelled, [{ task_id: waiting.taskIds[0], status: "cancelled" }], "the running one has not ended yet");
});

t.test("an inventory is told, whether it is whole or broke off", async (t) => {
  const uploads = new InventoryUploads(publishing);
  const never = new AbortController().signal;
  for (const isLast of [true, false]) {
    const run = await insertRun(database, [own], { type: "software_inventory", status: "running" });
    const [taskId = ""] = run.taskIds;
    const packages = [{ name: "bash", version: "5", architecture: "", publisher: "", installDateUnix: 0n }];
    const chunk = { scanId: taskId, agentId: "", source: "dpkg", chunkIndex: 0, isLast, packages };
    const received = uploads.receive(
      own,
      (async function* () {
        yield chunk;
      })(),
      never,
    );
    await (isLast ? received : t.rejects(received));
    const end = { ...place, task_id: taskId };
    t.match(await told("events.raw"), [
      { type: "task.finished", ...end, status: isLast ? "success" : "failed" },
      isLast
        ? { type: "inventory.finished", ...end, status: "success", packages: 1, error: null }
        : { type: "inventory.finished", ...end, status: "failed", packages: null, error: /last chunk/ },
    ]);
  }
});
