/**
 * Measures the ways of a heartbeat beside each other: as it is stored, by a writer of single statements, acknowledged
 * without storing, by a server that only answers; at saturation and at the pace of ordinary life; with one worker and with
 * two. Each variant is a service of its own with agents of its own, all take turns. docs/performance.md has the figures.
 */
import { writeFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { Contender, type Figures, type Variant } from "./support/contender.js";
import { quantile, spread } from "./support/figures.js";
import { fillDatabase } from "./support/fill-database.js";
import { onStage, type Stage } from "./support/stage.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "200" },
    turns: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    "paced-seconds": { type: "string", default: "10" },
    rate: { type: "string", default: "66" },
    hosts: { type: "string", default: "100000" },
    metrics: { type: "string", default: "0" },
    only: { type: "string", default: "" },
    json: { type: "string" },
  },
});
const [agents, turns, seconds] = [Number(values.agents), Number(values.turns), Number(values.seconds)];
const large = { hosts: Number(values.hosts), metrics: Number(values.metrics) };
const OF_A_SMALL_ONE = { hosts: 1_000, metrics: 0 };

/** The services that take part; those of a large database only when it is to be filled. */
const VARIANTS: Record<string, Variant & { isLarge?: true }> = {
  stored: { env: { INGEST_COMMIT_DELAY: "100" } },
  "stored, 50 ms": { env: { INGEST_COMMIT_DELAY: "50" } },
  "stored, no delay": {},
  "stored, two workers": { env: { INGEST_WORKERS: "2" } },
  "stored, large database": { env: { INGEST_COMMIT_DELAY: "100" }, isLarge: true },
  "single statements": { module: "single-writer" },
  "not stored": { module: "no-writer" },
  "answered only": { server: "bare-server" },
};

/** What is measured of the agents of a service. */
interface Scene {
  name: string;
  /** Of {@link VARIANTS}. */
  of: string;
  seconds: number;
  /** How often each agent sends, in milliseconds; as soon as it was acknowledged when undefined. */
  everyMs: () => number | undefined;
}

const pacedSeconds = Number(values["paced-seconds"]);
/** As 2,000 agents at 30 s send. */
const everyMs = () => (agents * 1_000) / Number(values.rate);
const everyMsAtHalf = () => (2 * agents * 1_000) / quantile(figuresOf("stored", "rate"), 0.5);
const SCENES: Scene[] = [
  ...Object.keys(VARIANTS).map((of) => ({ name: of, of, seconds, everyMs: () => undefined })),
  { name: "at half", of: "stored", seconds: pacedSeconds, everyMs: everyMsAtHalf },
  { name: "paced, no delay", of: "stored, no delay", seconds: pacedSeconds, everyMs },
  { name: "paced, 50 ms", of: "stored, 50 ms", seconds: pacedSeconds, everyMs },
  { name: "paced, 100 ms", of: "stored", seconds: pacedSeconds, everyMs },
];
/** What is divided by what. */
const RATIOS: [name: string, of: keyof Figures, by: string, than: string][] = [
  ["stored", "rate", "by", "single statements"],
  ["stored", "rate", "by", "not stored"],
  ["stored", "rate", "by", "stored, no delay"],
  ["stored, large database", "rate", "by", "stored"],
  ["not stored", "rate", "by", "answered only"],
  ["stored, two workers", "rate", "by", "stored, no delay"],
  ["paced, 100 ms", "totalMs", "by", "stored"],
  ["paced, 50 ms", "totalMs", "by", "stored"],
  ["paced, no delay", "totalMs", "by", "stored"],
];

const isChosen = (name: string) => values.only === "" || values.only.split(";").some((part) => name.startsWith(part));
const scenes = SCENES.filter(({ name, of }) => isChosen(name) && (VARIANTS[of]?.isLarge !== true || large.metrics > 0));
const contenders = new Map<string, Contender>();
const figures = new Map(scenes.map(({ name }) => [name, [] as Figures[]]));

const figuresOf = (name: string, of: keyof Figures) => (figures.get(name) ?? []).map((figure) => figure[of]);

await onStage(async (stage) => {
  if (large.metrics === 0) return measure(stage);
  await fillDatabase(stage.databaseUrl, OF_A_SMALL_ONE);
  return onStage(async (largeStage) => {
    await fillDatabase(largeStage.databaseUrl, large);
    await measure(stage, largeStage);
  });
});

async function measure(stage: Stage, largeStage = stage): Promise<void> {
  try {
    for (const of of new Set(scenes.map((scene) => scene.of))) {
      const { isLarge, ...variant } = VARIANTS[of] ?? {};
      contenders.set(of, await Contender.enter(isLarge ? largeStage : stage, { name: of, agents, variant }));
    }
    console.log(
      `cores ${availableParallelism()}, node ${process.version}, ${agents} agents each, ${turns} turns of ${seconds} s, ` +
        `load average before ${loadavg()[0]?.toFixed(1)}`,
    );
    for (let turn = 0; turn < turns; turn++) {
      for (const { name, of, seconds, everyMs } of scenes) {
        const figure = await contenders.get(of)?.takeTurn(seconds, everyMs());
        if (figure !== undefined) figures.get(name)?.push(figure);
      }
    }
    await report();
  } finally {
    for (const contender of contenders.values()) await contender.leave();
  }
}

async function report(): Promise<void> {
  const median = (name: string, of: keyof Figures, digits: number) => spread(figuresOf(name, of), digits);
  console.table(
    Object.fromEntries(
      scenes.map(({ name }) => [
        name,
        {
          "heartbeats/s": median(name, "rate", 0),
          "service ms": median(name, "serviceMs", 3),
          "PostgreSQL ms": median(name, "postgresMs", 3),
          "commits/s": median(name, "commits", 1),
          "p50 ms": median(name, "p50Ms", 0),
          "p99 ms": median(name, "p99Ms", 0),
          "loop p99 ms": median(name, "loopMs", 0),
          "load, cores": median(name, "load", 2),
        },
      ]),
    ),
  );
  const ratios = RATIOS.flatMap(([name, of, , than]) => {
    const [some, others] = [figuresOf(name, of), figuresOf(than, of)];
    if (some.length === 0 || others.length === 0) return [];
    return [{ name: `${of}: ${name} / ${than}`, each: some.map((one, turn) => one / (others[turn] ?? Number.NaN)) }];
  });
  for (const { name, each } of ratios) console.log(`${name}: ${spread(each, 2)}`);
  console.log(`load average after ${loadavg()[0]?.toFixed(1)}`);
  if (values.json === undefined) return;
  const result = {
    cores: availableParallelism(),
    node: process.version,
    agents,
    scenes: scenes.map(({ name }) => ({ name, figures: figures.get(name) })),
    ratios: ratios.map(({ name, each }) => ({ name, median: quantile(each, 0.5), each })),
  };
  await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`);
}
