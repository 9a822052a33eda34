import t from "tap";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase } from "../support/database/database.js";
import {
  insertHosts,
  insertQuery,
  insertRun,
  readRunStatus,
  readTasks,
  type TestHost,
} from "../support/database/work-rows.js";

const database = await createTestDatabase(t);
const cli = (...args: string[]) => runCommand({ DATABASE_URL: database.url }, args);
const [host, other] = (await insertHosts(database, 2)) as [TestHost, TestHost];

t.test("what has not ended is listed", async (t) => {
  const running = await insertRun(database, [host, other], { status: "running" });
  const done = await insertRun(database, [host], { status: "success" });
  const queryId = await insertQuery(database, other);
  const { output } = await cli("work", "list");
  for (const id of [...running.taskIds, queryId]) t.match(output, id);
  t.notMatch(output, done.taskIds[0] ?? "none");
  // The test's hosts are named as their agents are identified.
  const { output: json } = await cli("work", "list", "--host", other.agentId.toUpperCase(), "--json");
  const items = JSON.parse(json) as { id: string; hostname: string }[];
  t.same(items.map(({ id }) => id).sort(), [running.taskIds[1], queryId].sort());
});

t.test("a task is cancelled as the web app does it", async (t) => {
  const waiting = await insertRun(database, [host]);
  const running = await insertRun(database, [host], { status: "running" });
  const [first = "", second = ""] = [waiting.taskIds[0], running.taskIds[0]];
  const result = await cli("work", "cancel", first, second, "unknown");
  t.equal(result.exitCode, 1);
  t.match(result.errors, /no task with the id unknown is pending or running/);
  t.match(await readTasks(database, [first, second]), [
    { status: "cancelled", completed_at: Date },
    { status: "cancelling", completed_at: null },
  ]);
  t.equal(await readRunStatus(database, waiting.runId), "cancelled");
  t.equal(await readRunStatus(database, running.runId), "running", "its agent has not answered yet");
  t.equal((await cli("work", "cancel", first)).exitCode, 1);
});
