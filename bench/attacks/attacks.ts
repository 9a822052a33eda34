/**
 * Measures what one hostile caller costs the other agents: how long these wait for acknowledgements before an attack and
 * during it, in the same run. bench/README.md and docs/security.md have the figures.
 *
 * The service, PostgreSQL (fsync on), the attacker, a process of its own, and this process, which holds the other agents,
 * share the machine.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Code } from "@connectrpc/connect";
import { type AgentIdentity, openHeartbeatStream } from "../../dist/agent/index.js";
import { cpuMsOf } from "../support/cpu-time.js";
import { quantile } from "../support/figures.js";
import { watchMemory } from "../support/memory.js";
import { type ServiceProcess, startService } from "../support/service-process.js";
import { enrolAll, onStage, type Stage } from "../support/stage.js";
import { enrolledAttacks } from "./enrolled.js";
import { strangersAttacks } from "./strangers.js";
import type { AttackReport, Mark } from "./types.js";

const OTHERS = 20;
/** Not faster: past 60 and two a second a stream is read more slowly. */
const INTERVAL_MS = 250;
const WARM_UP_MS = 2_000;
const BEFORE_MS = 6_000;
const DURING_MS = 12_000;
/** The aim: a p99 below this many times the one before, or below what one message within the bounds may take. */
const MAX_RATIO = 3;
const HARMLESS_MS = 50;
const ATTACKER = fileURLToPath(new URL("attacker.js", import.meta.url));

const known = [...Object.keys(strangersAttacks), ...Object.keys(enrolledAttacks)];
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !known.includes(name));
if (unknown.length > 0) throw new Error(`no such attack: ${unknown.join(", ")}; there are ${known.join(", ")}`);

await onStage(async (stage) => {
  console.log(`cores ${availableParallelism()}, node ${process.version}, ${OTHERS} other agents`);
  for (const name of chosen.length > 0 ? chosen : known) await measure(stage, name);
});

async function measure(stage: Stage, attack: string): Promise<void> {
  const service = await startService(stage.env);
  try {
    const { token } = stage;
    const [identity, ...others] = await enrolAll(service, { token, prefix: attack, count: OTHERS + 1 });
    const file = join(stage.directory, `${attack}.json`);
    const mark = { attack, port: service.port, ca: service.ca, identity: identity as AgentIdentity };
    await writeFile(file, JSON.stringify(mark satisfies Mark));
    const agents = hold(service, others);
    await delay(WARM_UP_MS);
    agents.take();
    await delay(BEFORE_MS);
    const before = agents.take();

    const endMemory = watchMemory(service.pid);
    const cpuBefore = (await cpuMsOf(service.pid)) ?? Number.NaN;
    const attacker = fork(ATTACKER, [file]);
    await delay(DURING_MS);
    const cpuMs = ((await cpuMsOf(service.pid)) ?? Number.NaN) - cpuBefore;
    const during = agents.take();
    const memory = endMemory();
    attacker.send("stop");
    const [report] = (await once(attacker, "message")) as [AttackReport];
    await agents.stop();

    const ratio = quantile(during, 0.99) / quantile(before, 0.99);
    const isWithinAim = ratio < MAX_RATIO || quantile(during, 0.99) < HARMLESS_MS;
    console.log(
      `${attack}: p99 ${quantile(before, 0.99).toFixed(1)} ms before (p50 ${quantile(before, 0.5).toFixed(1)}), ` +
        `${quantile(during, 0.99).toFixed(1)} ms during (p50 ${quantile(during, 0.5).toFixed(1)}), ` +
        `ratio ${ratio.toFixed(1)}${isWithinAim ? "" : " (OVER THE AIM)"}; ${describe(report)}; ` +
        `rss ${memory.leastMb.toFixed(0)} to ${memory.mostMb.toFixed(0)} MB; ` +
        `processor: service ${percent(cpuMs / DURING_MS)}, attacker ${percent(report.cpuMs / report.elapsedMs)}; ` +
        `load average ${loadavg()[0]?.toFixed(1)}`,
    );
  } finally {
    await service.stop();
  }
}

/** Agents that send a heartbeat in each interval, whether or not the one before was acknowledged. */
function hold({ port, ca }: ServiceProcess, identities: readonly AgentIdentity[]) {
  let waitsMs: number[] = [];
  const streams = identities.map((identity) => openHeartbeatStream({ address: `localhost:${port}`, ca }, identity));
  const underWay = new Map<number, number>();
  let next = 0;
  let beat = 0;
  const timer = setInterval(() => {
    const stream = streams[beat++ % streams.length];
    const id = next++;
    underWay.set(id, performance.now());
    stream?.send({ cpuPercent: 1, uptimeSeconds: BigInt(id) }).then(
      () => {
        waitsMs.push(performance.now() - (underWay.get(id) ?? 0));
        underWay.delete(id);
      },
      // An agent that loses its stream to another one's attack has waited for ever.
      () => waitsMs.push(Number.POSITIVE_INFINITY),
    );
  }, INTERVAL_MS / identities.length);
  return {
    /** How long acknowledgements took since this was asked last, those that are still missing included, in ms. */
    take: () => {
      const taken = [...waitsMs, ...[...underWay.values()].map((sentAt) => performance.now() - sentAt)];
      waitsMs = [];
      return taken;
    },
    stop: async () => {
      clearInterval(timer);
      await Promise.all(streams.map((stream) => stream.end()));
    },
  };
}

function describe({ outcomes, elapsedMs }: AttackReport): string {
  const attempts = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const parts = Object.entries(outcomes).map(([code, count]) => `${nameOf(code)} ${count}`);
  return `${((attempts * 1_000) / elapsedMs).toFixed(0)} attempts/s (${parts.join(", ") || "none answered"})`;
}

/** The name of a status of gRPC; what is none stays as it is. */
function nameOf(code: string): string {
  return code === "0" ? "ok" : (Code[Number(code)] ?? code);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
