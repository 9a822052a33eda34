/**
 * Measures what an agent costs in memory that is connected and rests between two heartbeats: the service, and a bare
 * `node:http2` server that holds the same connections and streams. bench/README.md has the figures.
 *
 * Each server is a process of its own, one after the other; the agents are in others, beside PostgreSQL.
 */
import type { ChildProcess } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { spread } from "./support/figures.js";
import { startLoad, takeTurn } from "./support/load-process.js";
import { type MadeAgent, makeAgentCa, makeAgents } from "./support/made-agents.js";
import { rssMbOf } from "./support/memory.js";
import { type ServiceProcess, startServer } from "./support/service-process.js";
import { onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "2000,8000" },
    rounds: { type: "string", default: "1" },
    rest: { type: "string", default: "20" },
  },
});
/** They are connected before the others come, so that what is compiled and opened once is not theirs. */
const FIRST_AGENTS = 100;
/** As many descriptors and heartbeats made in advance as one process is good for. */
const AGENTS_PER_PROCESS = 2_000;
const EVERY_MS = 4_000;
const SEND_MS = 8_000;

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const SERVERS = {
  service: [file("../dist/main.js"), "serve"],
  bare: [file("variants/bare-server.js")],
};
type ServerName = keyof typeof SERVERS;

/** What a process uses, in bytes. */
interface Usage {
  /** Resident, as it is after a while without much to do, and when its garbage was collected. */
  rss: number;
  collectedRss: number;
  heap: number;
  external: number;
}

const ROWS: Record<keyof Usage, string> = {
  rss: "resident",
  collectedRss: "resident, garbage collected",
  heap: "of V8's heap",
  external: "outside of it, by V8's count",
};

await onStage(async (stage) => {
  const counts = values.agents.split(",").map(Number);
  const { ca, env } = await makeAgentCa(stage.directory);
  const agents = await makeAgents(stage.databaseUrl, ca, FIRST_AGENTS + Math.max(...counts));
  const measured = { ...stage, env: { ...stage.env, ...env } };
  for (const count of counts) {
    const costs: Record<ServerName, Usage[]> = { service: [], bare: [] };
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const name of Object.keys(SERVERS) as ServerName[]) {
        costs[name].push(await measure(measured, name, agents.slice(0, FIRST_AGENTS + count)));
      }
    }
    print(count, costs);
  }
});

/** What each agent costs one of the servers. */
async function measure(stage: Stage, name: ServerName, agents: readonly MadeAgent[]): Promise<Usage> {
  const usageFile = join(stage.directory, "usage.json");
  const args = ["--expose-gc", "--import", file("variants/memory-on-signal.js"), ...SERVERS[name]];
  const server = await startServer({ ...stage.env, BENCH_MEMORY_FILE: usageFile }, args);
  const loads: ChildProcess[] = [];
  // It names itself where the JWT belongs.
  const identities = agents.map((agent) => ({ ...agent, accessToken: agent.agentId }));
  const connect = async (begin: number, end: number) => {
    const load = await startLoad(stage.directory, server, identities.slice(begin, end));
    await takeTurn(server, load, SEND_MS, EVERY_MS);
    loads.push(load);
  };
  try {
    await connect(0, FIRST_AGENTS);
    const before = await usageOf(server, usageFile);
    for (let begin = FIRST_AGENTS; begin < agents.length; begin += AGENTS_PER_PROCESS) {
      await connect(begin, begin + AGENTS_PER_PROCESS);
    }
    const after = await usageOf(server, usageFile);
    const each = (key: keyof Usage) => (after[key] - before[key]) / (agents.length - FIRST_AGENTS);
    return { rss: each("rss"), collectedRss: each("collectedRss"), heap: each("heap"), external: each("external") };
  } finally {
    for (const load of loads) load.disconnect();
    await server.kill();
  }
}

async function usageOf({ pid }: ServiceProcess, usageFile: string): Promise<Usage> {
  await delay(Number(values.rest) * 1_000);
  const rss = (await rssMbOf(pid)) * 1024 ** 2;
  await rm(usageFile, { force: true });
  process.kill(pid, "SIGUSR2");
  for (;;) {
    const text = await readFile(usageFile, "utf8").catch(() => undefined);
    if (text === undefined) {
      await delay(100);
      continue;
    }
    const { rss: collectedRss, heapUsed: heap, external } = JSON.parse(text) as NodeJS.MemoryUsage;
    return { rss, collectedRss, heap, external };
  }
}

function print(count: number, { service, bare }: Record<ServerName, readonly Usage[]>): void {
  console.log(`node ${process.version}, ${count} agents, KB each; the service, a bare server, the one by the other`);
  for (const [key, what] of Object.entries(ROWS) as [keyof Usage, string][]) {
    const kilobytes = (usages: readonly Usage[]) =>
      spread(
        usages.map((usage) => usage[key] / 1024),
        1,
      );
    const ratios = service.map((usage, round) => usage[key] / (bare[round]?.[key] ?? 0));
    console.log(`  ${what}: ${kilobytes(service)}, ${kilobytes(bare)}, ${spread(ratios, 2)}`);
  }
}
