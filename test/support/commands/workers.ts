import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Test } from "tap";
import type { TestDatabase } from "../database/database.js";
import { makeDirectory, serviceEnvironment, type TestService, writeServiceFiles } from "../service.js";
import { startProcess, type TestProcess } from "./process.js";

/**
 * Starts a service with two workers, in processes of their own.
 *
 * @param whileItStarts is called when there is a worker that does not serve yet
 */
export async function startWorkers(
  t: Test,
  database: TestDatabase,
  whileItStarts: (primary: TestProcess) => void = () => {},
) {
  const directory = await makeDirectory(t);
  await writeServiceFiles(directory);
  const ca = await readFile(join(directory, "tls/server.crt"), "utf8");
  const env = { ...serviceEnvironment(directory, database.url), INGEST_WORKERS: "2" };
  const primary = startProcess(t, ["serve"], { env });
  await primary.saw(/a worker was started/);
  whileItStarts(primary);
  await primary.saw(/"workers":2,"msg":"ready"/);
  const lines = (): Record<string, unknown>[] =>
    primary
      .output()
      .split("\n")
      .filter((line) => line.startsWith("{") && line.endsWith("}"))
      .map((line) => JSON.parse(line));
  const { grpcPort, httpPort } = lines().find(({ msg, workers }) => msg === "ready" && workers === 2) ?? {};
  return {
    primary,
    lines,
    directory,
    address: { address: `localhost:${grpcPort}`, ca } as TestService,
    /** Those that have been started so far, whether or not they run. */
    pids: () => lines().flatMap(({ msg, workerPid }) => (msg === "a worker was started" ? [Number(workerPid)] : [])),
    /** Instances that served agents at some time, by their process. */
    instances: () =>
      new Map(
        lines().flatMap((line) =>
          line.msg === "a worker serves agents" ? [[line.instanceId, Number(line.workerPid)]] : [],
        ),
      ),
    ask: async (path: string) => (await fetch(`http://localhost:${httpPort}${path}`)).status,
    metrics: async () => (await fetch(`http://localhost:${httpPort}/metrics`)).text(),
    keySet: async () => (await fetch(`http://localhost:${httpPort}/.well-known/jwks.json`)).json(),
  };
}

/** Whether there is a process of this id. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
