/**
 * Fuzzes the service, in this process: requests, certificates and tokens that are nearly right. A finding is printed so
 * that it can be tried again, and makes the exit code 1. `npm run fuzz -- --seconds 60 --seed 1`; docs/security.md has the
 * results.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Test } from "tap";
import { startEmbeddedPostgres } from "../../dist/cli/dev/embedded-postgres.js";
import { makeFixtures } from "../support/fixtures.js";
import { measureLongestTurn } from "../support/longest-turn.js";
import { INPUTS } from "./inputs.js";
import { Random } from "./random.js";
import { openTarget, type Target } from "./target.js";

const MAX_STALL_MS = 50;
/** Code is compiled and memory collected in between; an input that holds the service up does so every time. */
const STALL_TRIES = 5;
const MAX_FINDINGS = 20;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    case: { type: "string" },
  },
});
const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error("--seconds and --seed are numbers");

const closing: (() => unknown)[] = [];
const test = { teardown: (close: () => unknown) => void closing.unshift(close) } as unknown as Test;
const rejections: unknown[] = [];
process.on("unhandledRejection", (reason) => rejections.push(reason));

const directory = await mkdtemp(join(tmpdir(), "ct-ops-ingest-fuzz-"));
try {
  // PostgreSQL runs as another user when this is root.
  await chmod(directory, 0o711);
  const postgres = await startEmbeddedPostgres({ dataDir: join(directory, "data"), settings: { fsync: "off" } });
  try {
    Object.assign(process.env, await makeFixtures(join(directory, "fixtures"), postgres.url));
    const target = await openTarget(test);
    const findings = await fuzz(target);
    process.exitCode = findings === 0 ? 0 : 1;
  } finally {
    for (const close of closing) await close();
    await postgres.stop();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function fuzz(target: Target): Promise<number> {
  const names = Object.keys(INPUTS);
  const only = values.case === undefined ? undefined : Number(values.case);
  const endsAt = performance.now() + seconds * 1_000;
  let [findings, refused, tried] = [0, 0, 0];
  let before = await target.fingerprint();
  for (
    let n = only ?? 0;
    performance.now() < endsAt && findings < MAX_FINDINGS && (only === undefined || n === only);
    n++
  ) {
    const name = names[n % names.length] ?? "";
    const make = () => INPUTS[name]?.(new Random(seed * 1_000_003 + n), target.seeds);
    const input = make();
    if (input === undefined) throw new Error(`no inputs of the kind ${name}`);
    const { outcome, longestMs } = await measureLongestTurn(() => target.attempt(input));
    const after = await target.fingerprint();
    let { finding } = outcome;
    if (rejections.length > 0) finding ??= `nobody handled the rejection ${String(rejections.splice(0))}`;
    if (outcome.isRefused && after !== before) finding ??= `refused, and stored: ${before} became ${after}`;
    if (longestMs > MAX_STALL_MS && (await leastStall(() => target.attempt(input))) > MAX_STALL_MS) {
      finding ??= `held everything up for ${Math.round(longestMs)} ms`;
    }
    before = await target.fingerprint();
    tried += 1;
    if (outcome.isRefused) refused += 1;
    if (finding === undefined) continue;
    findings += 1;
    console.log(`FINDING (${name}): ${finding}`);
    console.log(`  again: npm run fuzz -- --seed ${seed} --case ${n}`);
    console.log(`  input: ${JSON.stringify({ ...input, body: input.body.toString("base64") })}`);
  }
  console.log(`fuzz: ${tried} inputs with seed ${seed}, ${refused} refused, ${findings} findings`);
  return findings;
}

async function leastStall(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < STALL_TRIES; tries++) least = Math.min(least, (await measureLongestTurn(work)).longestMs);
  return least;
}
