import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { startProcess } from "../support/commands/process.js";
import { createTestDatabase } from "../support/database/database.js";
import { makeDirectory, serviceEnvironment, writeServiceFiles } from "../support/service.js";

/** Makes a process do this when it gets SIGUSR2. */
function onSignal(code: string): Record<string, string> {
  const module = `process.on("SIGUSR2", () => { ${code} });`;
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(module)}` };
}

async function startService(t: Test, code: string) {
  const [database, directory] = [await createTestDatabase(t), await makeDirectory(t)];
  await writeServiceFiles(directory);
  const env = { ...serviceEnvironment(directory, database.url), ...onSignal(code) };
  const service = startProcess(t, ["serve"], { env });
  await service.saw(/"ready"/);
  return { service, health: `http://127.0.0.1:${/"httpPort":(\d+)/.exec(service.output())?.[1]}/healthz` };
}

t.test("a rejection that nobody waited for is reported, and the service goes on", async (t) => {
  const { service, health } = await startService(t, 'Promise.reject(new Error("forgotten"))');
  service.kill("SIGUSR2");
  await service.saw(/error: unhandledRejection: Error: forgotten/);
  t.equal((await fetch(health)).status, 200);
  service.kill("SIGTERM");
  t.same(await service.exited, { code: 1, signal: null }, "the exit code tells");
  t.match(service.output(), /"isClean":true/);
});

t.test("an exception that nobody caught ends the service in order", async (t) => {
  const { service } = await startService(t, 'throw new Error("nobody caught this")');
  service.kill("SIGUSR2");
  t.same(await service.exited, { code: 1, signal: null });
  t.match(service.output(), /error: uncaughtException: Error: nobody caught this/);
  t.match(service.output(), /"reason":"uncaught exception","state":"serving"/);
  t.match(service.output(), /"isClean":true/);
});

t.test("and leaves no PostgreSQL behind", async (t) => {
  const directory = await makeDirectory(t);
  const env = { INGEST_GRPC_PORT: "0", INGEST_HTTP_PORT: "0", ...onSignal('throw new Error("nobody caught this")') };
  const dev = startProcess(t, ["dev", "--data-dir", join(directory, ".data")], { env, cwd: directory });
  await dev.saw(/Ctrl-C stops it/);
  dev.kill("SIGUSR2");
  t.same(await dev.exited, { code: 1, signal: null });
  const { stdout } = await promisify(execFile)("ps", ["-eo", "args"]);
  t.notMatch(stdout, directory);
});
