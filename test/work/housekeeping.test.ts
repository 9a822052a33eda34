import t from "tap";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { Housekeeping } from "../../dist/work/housekeeping.js";
import { createTestDatabase } from "../support/database/database.js";
import { insertHosts, insertRun, readRunStatus, readTasks, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { openStore, quietEvents } from "../support/work-desk.js";

const DAY_MS = 24 * 3_600_000;

const database = await createTestDatabase(t);
const [host, second] = (await insertHosts(database, 2)) as [TestHost, TestHost];

/** Ages a run and its rows. */
async function age(runId: string, interval: string): Promise<void> {
  await database.query(
    `update task_run_hosts set started_at = started_at - $2::interval, updated_at = updated_at - $2::interval,
       created_at = created_at - $2::interval where task_run_id = $1`,
    [runId, interval],
  );
}

t.test("what an old database holds is closed at the first start, by one of two instances", async (t) => {
  const running = await insertRun(database, [host, second], { status: "running" });
  await age(running.runId, "3 months");
  await database.query("update task_run_hosts set started_at = null where id = $1", [running.taskIds[1]]);
  const stopped = await insertRun(database, [host], { status: "cancelling" });
  await age(stopped.runId, "61 minutes");
  const justStarted = await insertRun(database, [host], { status: "running" });
  await age(justStarted.runId, "59 minutes");
  const forgotten = await insertRun(database, [host]);
  await age(forgotten.runId, "25 hours");
  const waiting = await insertRun(database, [host]);
  await age(waiting.runId, "23 hours");
  const skipped = await insertRun(database, [host]);
  await database.query("update task_run_hosts set status = 'skipped' where id = $1", [skipped.taskIds[0]]);
  const stoppedBefore = await insertRun(database, [host]);
  await database.query("update task_run_hosts set status = 'cancelled' where id = $1", [stoppedBefore.taskIds[0]]);
  await database.query("update task_runs set status = 'cancelling' where id = $1", [stoppedBefore.runId]);
  const deleted = await insertRun(database, [host], { status: "running" });
  await age(deleted.runId, "1 day");
  await database.query("update task_run_hosts set deleted_at = now() where task_run_id = $1", [deleted.runId]);

  for (let n = 0; n < 2; n++) {
    const keeper = new Housekeeping({
      outbox: createClosedOutbox(),
      database: openStore(t, database, 1),
      events: quietEvents(),
      maxAgeMs: DAY_MS,
    });
    t.teardown(() => keeper.stop());
  }
  await eventually(
    () => readRunStatus(database, stoppedBefore.runId),
    (status) => status !== "cancelling",
  );
  const first = async (run: { taskIds: string[] }) => (await readTasks(database, run.taskIds))[0];
  const timedOut = { status: "failed", exit_code: -1, completed_at: Date, raw_output: /within 60 minutes/ };
  for (const row of await readTasks(database, running.taskIds)) t.match(row, timedOut);
  t.match(await first(stopped), { status: "cancelled", exit_code: -1 });
  t.match(await first(justStarted), { status: "running" });
  t.match(await first(forgotten), { status: "failed", exit_code: -1, raw_output: /waited for longer than 24 hours/ });
  t.match(await first(waiting), { status: "pending" });
  t.match(await first(deleted), { status: "running" }, "what is deleted is left alone");
  const expected: [string, { runId: string }][] = [
    ["failed", running],
    ["cancelled", stopped],
    ["running", justStarted],
    ["failed", forgotten],
    ["pending", waiting],
    ["completed", skipped],
    ["cancelled", stoppedBefore],
    ["running", deleted],
  ];
  for (const [status, { runId }] of expected) t.equal(await readRunStatus(database, runId), status, status);
});

t.test("more than one transaction ends is ended all the same", async (t) => {
  const hosts = await insertHosts(database, 1_200);
  const run = await insertRun(database, hosts, { status: "running" });
  await age(run.runId, "2 hours");
  const keeper = new Housekeeping({
    outbox: createClosedOutbox(),
    database: openStore(t, database, 1),
    events: quietEvents(),
    maxAgeMs: DAY_MS,
  });
  t.teardown(() => keeper.stop());
  await eventually(
    () => readRunStatus(database, run.runId),
    (status) => status === "failed",
  );
});
