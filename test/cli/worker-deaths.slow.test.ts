import t from "tap";
import { isRunning, startWorkers } from "../support/commands/workers.js";
import { createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";

const database = await createTestDatabase(t);

t.test("workers do not outlive a primary that is killed", async (t) => {
  const { primary, pids } = await startWorkers(t, database);
  primary.kill("SIGKILL");
  await primary.exited;
  await eventually(
    async () => pids().filter(isRunning),
    (running) => running.length === 0,
  );
  t.same(await database.query("select from ingest.instances"), [], "they end in order");
});

t.test("workers that die again and again end the service", async (t) => {
  const { primary, pids } = await startWorkers(t, database);
  let killed = 0;
  const killing = setInterval(() => {
    for (const pid of pids().slice(killed)) {
      process.kill(pid, "SIGKILL");
      killed += 1;
    }
  }, 20);
  t.teardown(() => clearInterval(killing));
  t.same(await primary.exited, { code: 1, signal: null });
  t.match(primary.output(), /error: 5 workers ended within a minute that were not told to/);
  t.equal(killed, 5);
  t.same(pids().filter(isRunning), []);
});

t.test("SIGHUP while the service starts ends nothing, and replaces the workers when it has", async (t) => {
  const { primary, pids } = await startWorkers(t, database, (starting) => starting.kill("SIGHUP"));
  await primary.saw(/the workers were restarted/);
  t.equal(pids().length, 4);
  t.equal(pids().filter(isRunning).length, 2);
});

t.test("a second signal ends all at once, a worker too that stands still", async (t) => {
  const { primary, pids } = await startWorkers(t, database);
  const [halted = 0] = pids();
  process.kill(halted, "SIGSTOP");
  primary.kill("SIGTERM");
  await primary.saw(/shutting down/);
  const toldAt = performance.now();
  primary.kill("SIGTERM");
  t.same(await primary.exited, { code: 1, signal: null });
  t.ok(performance.now() - toldAt < 10_000, "well before INGEST_DRAIN_TIMEOUT");
  t.same(pids().filter(isRunning), []);
});
