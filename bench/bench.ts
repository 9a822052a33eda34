/**
 * Measures the ways of a heartbeat beside each other: as it is stored, by a writer of single statements, acknowledged
 * without storing, by a server that only answers; at saturation and at the pace of ordinary life; with one worker and with
 * two. Each variant is a service of its own with agents of its own, all take turns. docs/performance.md has the figures.
 */
import type { ChildProcess } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { type Database, openDatabase } from "../dist/store/database.js";
import { cpuMsOfFamily } from "./support/cpu-time.js";
import { quantile, spread } from "./support/figures.js";
import { startLoad, type Turn, takeTurn } from "./support/load-process.js";
import { rssMbOf } from "./support/memory.js";
import { type ServiceProcess, startServer, startService } from "./support/service-process.js";
import { enrolAll, onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "200" },
    turns: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    "paced-seconds": { type: "string", default: "10" },
    rate: { type: "string", default: "66" },
    only: { type: "string", default: "" },
    json: { type: "string" },
  },
});
const [agents, turns, seconds] = [Number(values.agents), Number(values.turns), Number(values.seconds)];
/** As 2,000 agents at 30 s send. */
const everyMs = (agents * 1_000) / Number(values.rate);

/** One way of a heartbeat. */
interface Variant {
  env?: Record<string, string>;
  /** Loaded into the service before it starts. */
  module?: string;
  /** Stands in the place of the service. */
  server?: string;
  /** How often an agent sends, in milliseconds; as fast as it is acknowledged unless given. */
  everyMs?: number;
}

const VARIANTS: Record<string, Variant> = {
  stored: { env: { INGEST_COMMIT_DELAY: "100" } },
  "stored, no delay": {},
  "stored, two workers": { env: { INGEST_WORKERS: "2" } },
  "single statements": { module: "single-writer" },
  "not stored": { module: "no-writer" },
  "answered only": { server: "bare-server" },
  "paced, no delay": { everyMs },
  "paced, 50 ms": { env: { INGEST_COMMIT_DELAY: "50" }, everyMs },
  "paced, 100 ms": { env: { INGEST_COMMIT_DELAY: "100" }, everyMs },
};
/** What is divided by what. */
const RATIOS: [name: string, of: keyof Figures, by: string, than: string][] = [
  ["stored", "rate", "by", "single statements"],
  ["stored", "rate", "by", "not stored"],
  ["stored", "rate", "by", "stored, no delay"],
  ["not stored", "rate", "by", "answered only"],
  ["stored, two workers", "rate", "by", "stored, no delay"],
  ["paced, 100 ms", "totalMs", "by", "stored"],
  ["paced, 50 ms", "totalMs", "by", "stored"],
  ["paced, no delay", "totalMs", "by", "stored"],
];

/** One turn, with what PostgreSQL did in it. */
interface Figures extends Turn {
  /** Processor time of PostgreSQL for a heartbeat, in milliseconds. */
  postgresMs: number;
  /** Of both. */
  totalMs: number;
  /** Transactions that PostgreSQL committed in a second. */
  commits: number;
}

interface Contender extends Variant {
  name: string;
  service: ServiceProcess;
  load: ChildProcess;
  idleMb: number;
  figures: Figures[];
}

const chosen = Object.entries(VARIANTS).filter(
  ([name]) => values.only === "" || values.only.split(";").some((part) => name.startsWith(part)),
);
await onStage(measure);

async function measure(stage: Stage): Promise<void> {
  const database = openDatabase({ url: stage.databaseUrl, maxConnections: 1 });
  const contenders: Contender[] = [];
  try {
    for (const [name, variant] of chosen) contenders.push(await enter(stage, name, variant));
    console.log(
      `cores ${availableParallelism()}, node ${process.version}, ${agents} agents each, ${turns} turns of ${seconds} s, ` +
        `load average before ${loadavg()[0]?.toFixed(1)}`,
    );
    for (let turn = 0; turn < turns; turn++) {
      for (const contender of contenders) contender.figures.push(await measureTurn(stage, database, contender));
    }
    await report(contenders);
  } finally {
    for (const { load, service } of contenders) {
      load.disconnect();
      await service.stop();
    }
    await database.close();
  }
}

async function enter(stage: Stage, name: string, variant: Variant): Promise<Contender> {
  const env = { ...stage.env, INGEST_COMMIT_DELAY: "0", ...variant.env };
  const file = (path: string) => fileURLToPath(new URL(`variants/${path}.js`, import.meta.url));
  // Agents enrol with a service, whatever they are to talk to.
  const registrar = await startService(stage.env);
  const prefix = `bench-${name.replaceAll(/[^a-z0-9]+/g, "-")}`;
  const identities = await enrolAll(registrar, { token: stage.token, prefix, count: agents });
  await registrar.stop();
  const service =
    variant.server === undefined
      ? await startService(env, variant.module === undefined ? [] : ["--import", file(variant.module)])
      : await startServer(env, [file(variant.server)]);
  const idleMb = await rssMbOf(service.pid);
  return {
    ...variant,
    name,
    service,
    load: await startLoad(stage.directory, service, identities),
    idleMb,
    figures: [],
  };
}

async function measureTurn(
  { postgresPid }: Stage,
  database: Database,
  { service, load, everyMs }: Contender,
): Promise<Figures> {
  const before = {
    cpu: await cpuMsOfFamily(postgresPid),
    commits: await countCommits(database),
    at: performance.now(),
  };
  const turnSeconds = everyMs === undefined ? seconds : Number(values["paced-seconds"]);
  const turn = await takeTurn(service, load, turnSeconds * 1_000, everyMs);
  const elapsedMs = performance.now() - before.at;
  // The moment that is not measured counts for PostgreSQL: it is divided by what was sent in it as well.
  const heartbeats = (turn.rate * elapsedMs) / 1_000;
  const postgresMs = ((await cpuMsOfFamily(postgresPid)) - before.cpu) / heartbeats;
  const commits = (((await countCommits(database)) - before.commits) * 1_000) / elapsedMs;
  return { ...turn, postgresMs, totalMs: turn.serviceMs + postgresMs, commits };
}

async function countCommits({ db }: Database): Promise<number> {
  const { rows } = await db.execute<{ count: string }>(
    sql`select xact_commit as count from pg_stat_database where datname = current_database()`,
  );
  return Number(rows[0]?.count);
}

async function report(contenders: readonly Contender[]): Promise<void> {
  const median = (figures: readonly Figures[], of: keyof Figures, digits: number) =>
    spread(
      figures.map((figure) => figure[of]),
      digits,
    );
  console.table(
    Object.fromEntries(
      contenders.map(({ name, figures }) => [
        name,
        {
          "heartbeats/s": median(figures, "rate", 0),
          "service ms": median(figures, "serviceMs", 3),
          "PostgreSQL ms": median(figures, "postgresMs", 3),
          "commits/s": median(figures, "commits", 1),
          "p50 ms": median(figures, "p50Ms", 0),
          "p99 ms": median(figures, "p99Ms", 0),
          "load, cores": median(figures, "load", 2),
        },
      ]),
    ),
  );
  const ratios = RATIOS.flatMap(([name, of, , than]) => {
    const [one, other] = [name, than].map((wanted) => contenders.find((contender) => contender.name === wanted));
    if (one === undefined || other === undefined) return [];
    const each = one.figures.map((figure, turn) => figure[of] / (other.figures[turn]?.[of] ?? Number.NaN));
    return [{ name: `${of}: ${name} / ${than}`, each }];
  });
  for (const { name, each } of ratios) console.log(`${name}: ${spread(each, 2)}`);
  const memory = await Promise.all(
    contenders.map(async ({ name, service, idleMb }) => ({ name, idleMb, mb: await rssMbOf(service.pid) })),
  );
  for (const { name, idleMb, mb } of memory)
    console.log(`memory, ${name}: ${idleMb.toFixed(0)} MB before its agents came, ${mb.toFixed(0)} MB at the end`);
  console.log(`load average after ${loadavg()[0]?.toFixed(1)}`);
  if (values.json === undefined) return;
  const result = {
    cores: availableParallelism(),
    node: process.version,
    agents,
    variants: contenders.map(({ name, figures }) => ({ name, figures })),
    ratios: ratios.map(({ name, each }) => ({ name, median: quantile(each, 0.5), each })),
    memory,
  };
  await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
}
