import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cpuMsOfFamily } from "./cpu-time.js";
import type { LoadAgent, LoadResult, LoadTarget, LoadTurn } from "./heartbeat-load.js";
import type { ServiceProcess } from "./service-process.js";

const LOAD = fileURLToPath(new URL("heartbeat-load.js", import.meta.url));
const WARM_UP_MS = 500;

/** One turn of one service. */
export interface Turn {
  /** Acknowledged in a second. */
  rate: number;
  /** Processor time of the service for a heartbeat, in milliseconds. */
  serviceMs: number;
  /** From sending to the acknowledgement, in milliseconds. */
  p50Ms: number;
  p99Ms: number;
  /** The load's own share of a processor. */
  load: number;
}

/** Starts a process that holds these agents, and waits until their streams are open. */
export async function startLoad(
  directory: string,
  { port, ca }: ServiceProcess,
  identities: readonly LoadAgent[],
): Promise<ChildProcess> {
  const file = join(directory, `identities-${port}.json`);
  await writeFile(file, JSON.stringify(identities));
  const child = fork(LOAD, [file]);
  child.send({ port, ca } satisfies LoadTarget);
  await once(child, "message");
  return child;
}

/**
 * Has the agents send for so long, after a moment that is not measured.
 *
 * @param everyMs how often each sends; as soon as it was acknowledged unless given
 */
export async function takeTurn(
  service: ServiceProcess,
  load: ChildProcess,
  measureMs: number,
  everyMs?: number,
): Promise<Turn> {
  load.send({ warmUpMs: WARM_UP_MS, measureMs, ...(everyMs !== undefined && { everyMs }) } satisfies LoadTurn);
  await once(load, "message");
  const before = await cpuMsOfFamily(service.pid);
  await once(load, "message");
  const serviceMs = (await cpuMsOfFamily(service.pid)) - before;
  const [result] = (await once(load, "message")) as [LoadResult];
  const { acknowledged, elapsedMs, cpuMs, p50Ms, p99Ms } = result;
  return {
    rate: (acknowledged * 1_000) / elapsedMs,
    serviceMs: serviceMs / acknowledged,
    p50Ms,
    p99Ms,
    load: cpuMs / elapsedMs,
  };
}
