import cluster from "node:cluster";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Supervisor } from "../../dist/cli/service/workers/supervisor.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";
import { makeDirectory } from "../support/service.js";

/** Says that it serves, unless it was told not to come so far. */
const WORKER = `
process.on("message", () => process.exit(0));
if (process.env.TEST_BROKEN) process.exit(1);
process.send({ type: "status", status: { instanceId: "x", state: "serving", grpcPort: 1 } });
`;

async function setUp(t: Test, workers: number) {
  const script = join(await makeDirectory(t), "worker.cjs");
  await writeFile(script, WORKER);
  cluster.setupPrimary({ exec: script });
  const { logger, lines } = createTestLog();
  const supervisor = new Supervisor({ workers, logger });
  t.teardown(() => supervisor.stop("test", AbortSignal.timeout(1_000)));
  return { supervisor, lines };
}

t.test("a restart that is asked for while the first worker starts follows the start", async (t) => {
  const { supervisor, lines } = await setUp(t, 2);
  const started = supervisor.start();
  const [first] = supervisor.running;
  void supervisor.restart();
  void supervisor.restart();
  t.same(supervisor.running, [first], "the first worker starts alone");
  await started;
  const told = () => lines.filter(({ msg }) => msg === "the workers were restarted").length;
  await eventually(
    async () => told(),
    (count) => count === 1,
  );
  t.equal(supervisor.running.length, 2);
  t.notOk(first && supervisor.running.includes(first));
});

t.test("restarts that fail, however many, end nothing", async (t) => {
  const { supervisor, lines } = await setUp(t, 1);
  let failure: Error | undefined;
  supervisor.failed.catch((error) => {
    failure = error;
  });
  await supervisor.start();
  const [old] = supervisor.running;
  process.env.TEST_BROKEN = "1";
  for (let n = 0; n < 6; n += 1) await supervisor.restart();
  delete process.env.TEST_BROKEN;
  t.equal(lines.filter(({ msg }) => /could not be restarted/.test(String(msg))).length, 6);
  t.same(supervisor.running, [old], "the old one goes on");
  t.equal(failure, undefined);
  await supervisor.restart();
  t.not(supervisor.running[0], old);
});
