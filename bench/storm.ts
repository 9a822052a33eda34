/**
 * All agents of a fleet come back in one instant, as after a power cut, while others are served: how long until each has a
 * heartbeat acknowledged, whether that comes to an end by itself, what those notice that are served, and memory.
 * bench/README.md has the figures.
 *
 * The service, PostgreSQL (fsync on) and the processes of the load share the machine; those of the storm let the others go
 * first (`nice`), since on machines of their own they would take nothing from the service.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg, setPriority } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { quantile } from "./support/figures.js";
import { type MadeAgent, makeAgentCa, makeAgents } from "./support/made-agents.js";
import { type ServiceProcess, startService } from "./support/service-process.js";
import { onStage } from "./support/stage.js";
import type { StormReport, StormTarget } from "./support/storm-load.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "20000" },
    steady: { type: "string", default: "200" },
    workers: { type: "string", default: String(availableParallelism()) },
    processes: { type: "string", default: "4" },
    "limit-seconds": { type: "string", default: "300" },
    nice: { type: "string", default: "10" },
  },
});
const LOAD = fileURLToPath(new URL("support/storm-load.js", import.meta.url));
const BEFORE_MS = 15_000;
const STEADY_EVERY_MS = 1_000;
const STORM_EVERY_MS = 30_000;
const COUNT = Number(values.agents);

/** A process of agents, and what it said last. */
class Load {
  last: StormReport | undefined;
  readonly history: StormReport[] = [];

  private constructor(private readonly child: ChildProcess) {
    child.on("message", (report: StormReport | "ready") => {
      if (report === "ready") return;
      this.last = report;
      this.history.push(report);
    });
  }

  /** Starts it, and waits until its agents are ready. */
  static async create(file: string, agents: readonly MadeAgent[], target: StormTarget, nice: number): Promise<Load> {
    await writeFile(file, JSON.stringify(agents));
    const child = fork(LOAD, [file]);
    child.send(target);
    await once(child, "message");
    setPriority(child.pid ?? 0, nice);
    return new Load(child);
  }

  start(): void {
    this.child.send("start");
  }

  stop(): void {
    this.child.disconnect();
  }
}

await onStage(async (stage) => {
  const { ca, env } = await makeAgentCa(stage.directory);
  const service = await startService({
    ...stage.env,
    ...env,
    INGEST_WORKERS: values.workers,
  });
  try {
    await run(stage.databaseUrl, stage.directory, ca, service);
  } finally {
    await service.stop();
  }
});

async function run(
  databaseUrl: string,
  directory: string,
  ca: Parameters<typeof makeAgents>[1],
  service: ServiceProcess,
): Promise<void> {
  const made = await makeAgents(databaseUrl, ca, COUNT + Number(values.steady));
  const target = (index: number, everyMs: number): StormTarget => ({
    port: service.port,
    ca: service.ca,
    localAddress: `127.0.1.${index + 1}`,
    everyMs,
  });
  const steady = await Load.create(join(directory, "steady.json"), made.slice(COUNT), target(200, STEADY_EVERY_MS), 0);
  steady.start();
  while ((steady.last?.served ?? 0) < Number(values.steady)) await delay(200);
  const processes = Number(values.processes);
  const storm = await Promise.all(
    Array.from({ length: processes }, (_, index) =>
      Load.create(
        join(directory, `storm-${index}.json`),
        made.slice(0, COUNT).filter((_, one) => one % processes === index),
        target(index, STORM_EVERY_MS),
        Number(values.nice),
      ),
    ),
  );
  await delay(BEFORE_MS);
  const before = steady.history.slice(-Math.floor(BEFORE_MS / 1_000 - 2));
  steady.history.length = 0;
  console.log(
    `cores ${availableParallelism()}, node ${process.version}, load average ${loadavg()[0]?.toFixed(1)}; ` +
      `${COUNT} agents in ${processes} processes, ${values.steady} others, ${values.workers} workers`,
  );
  console.log(`served before: ${describeWaits(before)}; service ${await memoryMb(service.pid)} MB`);

  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1_000;
  for (const load of storm) load.start();
  const sum = (read: (report: StormReport) => number) =>
    storm.reduce((total, { last }) => total + (last === undefined ? 0 : read(last)), 0);
  const marks = new Map<number, number>();
  let mostMb = 0;
  for (
    let tick = 1;
    sum(({ everServed }) => everServed) < COUNT && seconds() < Number(values["limit-seconds"]);
    tick++
  ) {
    await delay(1_000);
    const ever = sum(({ everServed }) => everServed);
    mostMb = Math.max(mostMb, await memoryMb(service.pid));
    for (const share of [0.5, 0.9, 0.99, 1]) {
      if (ever >= share * COUNT && !marks.has(share)) marks.set(share, seconds());
    }
    if (tick % 10 === 0) {
      const now = sum(({ served }) => served);
      console.log(`  ${seconds().toFixed(0)} s: ${ever} served, ${now} now, ${sum((one) => one.attempts)} attempts`);
    }
  }
  const ended = seconds();
  for (const [share, at] of marks) console.log(`${share * 100} % acknowledged after ${at.toFixed(1)} s`);
  console.log(
    `after ${ended.toFixed(1)} s ${sum(({ everServed }) => everServed)} of ${COUNT} were served, ` +
      `${sum(({ attempts }) => attempts)} attempts; ended: ${JSON.stringify(failuresOf(storm))}`,
  );
  console.log(`served meanwhile: ${describeWaits(steady.history)}; ended: ${JSON.stringify(steady.last?.failures)}`);
  const metrics = await (await fetch(`http://localhost:${service.httpPort}/metrics`)).text();
  const told =
    /^ct_ops_ingest_(connections_turned_away_total|tls_handshakes_total|refusals_total|calls_failed_total).*/gm;
  console.log((metrics.match(told) ?? []).join("\n"));
  console.log(`service ${mostMb} MB at most; load average ${loadavg()[0]?.toFixed(1)}`);
  for (const load of [steady, ...storm]) load.stop();
}

function failuresOf(loads: readonly Load[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const { last } of loads) {
    for (const [why, count] of Object.entries(last?.failures ?? {})) all[why] = (all[why] ?? 0) + count;
  }
  return all;
}

/** Each second has about as many heartbeats as any other. */
function describeWaits(reports: readonly StormReport[]): string {
  const seconds = reports.filter(({ acknowledged }) => acknowledged > 0);
  const p99 = seconds.map(({ p99Ms }) => p99Ms);
  const acknowledged = reports.reduce((sum, one) => sum + one.acknowledged, 0);
  const worst = Math.max(...seconds.map(({ worstMs }) => worstMs));
  return (
    `${acknowledged} heartbeats, p50 ${quantile(
      seconds.map(({ p50Ms }) => p50Ms),
      0.5,
    ).toFixed(0)} ms, ` +
    `p99 of a second ${quantile(p99, 0.5).toFixed(0)} ms (worst ${quantile(p99, 1).toFixed(0)}), one at most ${worst.toFixed(0)} ms`
  );
}

/** Of a process and those that it started. */
async function memoryMb(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const pids = [String(pid), ...children.split(" ").filter((one) => one !== "")];
  const kilobytes = await Promise.all(
    pids.map(async (one) =>
      Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${one}/status`, "utf8").catch(() => ""))?.[1] ?? 0),
    ),
  );
  return Math.round(kilobytes.reduce((sum, kb) => sum + kb, 0) / 1_024);
}
