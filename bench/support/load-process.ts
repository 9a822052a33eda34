import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AgentIdentity } from "../../dist/agent/index.js";
import { cpuMsOf } from "./cpu-time.js";
import type { LoadResult, LoadTarget, LoadTurn } from "./heartbeat-load.js";
import type { ServiceProcess } from "./service-process.js";

const LOAD = fileURLToPath(new URL("heartbeat-load.js", import.meta.url));
const WARM_UP_MS = 500;

/** One turn of one service. */
export interface Turn {
  /** Acknowledged in a second. */
  rate: number;
  /** Processor time of the service for a heartbeat, in milliseconds. */
  serviceMs: number;
  /** The load's own share of a processor. */
  load: number;
}

/** Starts a process that holds these agents, and waits until their streams are open. */
export async function startLoad(
  directory: string,
  { port, ca }: ServiceProcess,
  identities: readonly AgentIdentity[],
): Promise<ChildProcess> {
  const file = join(directory, `identities-${port}.json`);
  await writeFile(file, JSON.stringify(identities));
  const child = fork(LOAD, [file]);
  child.send({ port, ca } satisfies LoadTarget);
  await once(child, "message");
  return child;
}

/** Has the agents send for so long, after a moment that is not measured. */
export async function takeTurn(service: ServiceProcess, load: ChildProcess, measureMs: number): Promise<Turn> {
  load.send({ warmUpMs: WARM_UP_MS, measureMs } satisfies LoadTurn);
  await once(load, "message");
  const before = (await cpuMsOf(service.pid)) ?? Number.NaN;
  await once(load, "message");
  const serviceMs = ((await cpuMsOf(service.pid)) ?? Number.NaN) - before;
  const [result] = (await once(load, "message")) as [LoadResult];
  const { acknowledged, elapsedMs, cpuMs } = result;
  return { rate: (acknowledged * 1_000) / elapsedMs, serviceMs: serviceMs / acknowledged, load: cpuMs / elapsedMs };
}
