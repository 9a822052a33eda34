import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { deleteAgent } from "../../enrolment/operators/deletion.js";
import { trimPasted } from "../../lib/formats/trim-pasted.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { findTarget } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { findDevInstance } from "../dev/dev-instance.js";
import { forEachId } from "../interaction/for-each-id.js";
import { readDurationMs } from "../terminal/duration.js";
import { Simulation, type SimulationReport } from "./simulation.js";

const PROGRESS_INTERVAL_MS = 500;
/** Where no live line can be shown, a line is written this often. */
const LINE_INTERVAL_MS = 10_000;
/** Unless told otherwise agents start this far apart, so that a thousand do not enrol in one instant. */
const START_INTERVAL_MS = 5;

interface SimulateOptions {
  agents: number;
  address?: string;
  ca?: string;
  token?: string;
  prefix: string;
  ramp?: number;
  interval: number;
  duration?: number;
  work?: true;
  cleanup?: true;
  json?: true;
}

/** `simulate`: agents that enrol and hold real heartbeat streams. */
export function simulateCommand(context: CommandContext): Command {
  return new Command("simulate")
    .description("enrol simulated agents and hold their heartbeat streams, each over its own connection")
    .requiredOption("--agents <n>", "how many", parseCount)
    .option("--address <host:port>", "the service (default: the dev instance of this directory)")
    .option("--ca <file>", "CA file for its certificate (default: the dev instance's)")
    .option("--token <token>", "enrolment token (default: the dev instance's)", trimPasted)
    .option(
      "--prefix <name>",
      "begins the host names; a random part that all of one run share follows",
      parsePrefix,
      "sim",
    )
    .option("--ramp <duration>", "over which the agents start (default: 5 ms for each)", readDurationMs)
    .option("--interval <duration>", "between the heartbeats of one agent", readDurationMs, 30_000)
    .option("--duration <duration>", "how long; without it until Ctrl-C", readDurationMs)
    .option("--work", "answer checks, queries and software inventories, with made up results")
    .option("--cleanup", "delete at the end, in the database, what this run made")
    .option("--json", "print the summary as JSON only")
    .action((options: SimulateOptions) => simulate(context, options));
}

async function simulate(context: CommandContext, options: SimulateOptions): Promise<void> {
  const { signal, print } = context;
  const dev = await findDevInstance();
  const require = (name: string, value: string | undefined): string => {
    if (value !== undefined) return value;
    throw new Error(`--${name} is needed: no dev instance runs in this directory (start one with \`npm start\`)`);
  };
  // Before anything is made that could not be deleted.
  if (options.cleanup) await findTarget(context.env);
  const simulation = new Simulation({
    agents: options.agents,
    address: require("address", options.address ?? dev?.grpcAddress),
    ca: await readCaFile(require("ca", options.ca ?? dev?.caFile)),
    token: require("token", options.token ?? dev?.token),
    heartbeatIntervalMs: options.interval,
    prefix: options.prefix,
    work: options.work === true,
    rampMs: options.ramp ?? options.agents * START_INTERVAL_MS,
  });
  const stopProgress = showProgress(context, simulation);
  // Not AbortSignal.any with AbortSignal.timeout: Node may collect such a signal before its time.
  const ending = new AbortController();
  const end = () => ending.abort();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const durationTimer = options.duration === undefined ? undefined : setTimeout(end, options.duration);
  try {
    await simulation.start(ending.signal);
    await untilAborted(ending.signal);
  } finally {
    stopProgress();
    clearTimeout(durationTimer);
  }
  const report = simulation.report();
  await simulation.stop();
  print(options.json ? JSON.stringify(report) : describe(report));
  if (options.cleanup) await cleanUp(context, simulation.agentIds);
  const problem = findProblem(report);
  if (problem !== undefined) throw new Error(problem);
}

/** @throws Error when it holds no certificate: each agent would say so in its own way */
async function readCaFile(path: string): Promise<string> {
  try {
    const text = await readFile(path, "utf8");
    const certificates = text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----.*?-----END/gs) ?? [];
    if (certificates.length === 0) throw new Error("it holds no certificate in PEM");
    new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new Error(`${path} is no CA file: ${(cause as Error).message}`, { cause });
  }
}

/** The summary alone is what is printed: what was deleted is told beside it. */
function cleanUp(context: CommandContext, agentIds: readonly string[]): Promise<void> {
  const beside = { ...context, print: context.warn };
  const work = async (publishing: PublishingDatabase, id: string) => (await deleteAgent(publishing, id)).hostname;
  return forEachId(beside, agentIds, { done: "deleted", work });
}

/** Shows how far it is, until the function that this returns is called. */
function showProgress({ progress, warn }: CommandContext, simulation: Simulation): () => void {
  const show = () => {
    const line = describeShort(simulation.report());
    if (progress === undefined) warn(line);
    else progress(line);
  };
  const timer = setInterval(show, progress === undefined ? LINE_INTERVAL_MS : PROGRESS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    progress?.("");
  };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Why not every agent got through; undefined when all did. */
function findProblem({ agents, gotThrough, waitingForApproval, lastError }: SimulationReport): string | undefined {
  const others = agents - gotThrough - waitingForApproval;
  const reasons = [
    ...(waitingForApproval === 0 ? [] : [`${waitingForApproval} wait for approval (\`agent list --status pending\`)`]),
    ...(others === 0 ? [] : [`${others} had no heartbeat acknowledged: ${lastError ?? "time was up"}`]),
  ];
  if (reasons.length === 0) return undefined;
  return `${agents - gotThrough} of ${agents} agents did not get through: ${reasons.join("; ")}`;
}

function describe(report: SimulationReport): string {
  const { agents, enrolled, streamsOpen, heartbeatsSent, heartbeatsAcknowledged, latencyP50Ms, latencyP99Ms } = report;
  const waiting = report.waitingForApproval === 0 ? "" : `, waiting for approval ${report.waitingForApproval}`;
  const latency = latencyP50Ms === null ? "" : `, latency p50 ${latencyP50Ms} ms p99 ${latencyP99Ms} ms`;
  return (
    `enrolled ${enrolled}/${agents}${waiting}, streams open ${streamsOpen}, heartbeats sent ${heartbeatsSent} ` +
    `acknowledged ${heartbeatsAcknowledged}${latency}${describeWork(report)}, errors ${report.errors}` +
    (report.lastError === null ? "" : ` (last: ${report.lastError})`)
  );
}

function describeWork({ checksRun, queriesAnswered, inventoriesTaken }: SimulationReport): string {
  if (checksRun + queriesAnswered + inventoriesTaken === 0) return "";
  return `, checks run ${checksRun}, queries answered ${queriesAnswered}, inventories taken ${inventoriesTaken}`;
}

/** All of it in 80 columns. */
function describeShort(report: SimulationReport): string {
  const { agents, enrolled, waitingForApproval, streamsOpen, heartbeatsAcknowledged, latencyP50Ms, latencyP99Ms } =
    report;
  const waiting = waitingForApproval === 0 ? "" : ` pending ${waitingForApproval}`;
  const latency = latencyP50Ms === null ? "" : ` p50 ${latencyP50Ms} p99 ${latencyP99Ms} ms`;
  return (
    `enrolled ${enrolled}/${agents}${waiting} open ${streamsOpen} acked ${heartbeatsAcknowledged}${latency} ` +
    `errors ${report.errors}`
  );
}

/** A part of a host name: the longest one leaves room for the run and the number. */
function parsePrefix(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/i.test(text)) return text;
  throw new InvalidArgumentError("expected 1 to 40 letters, digits and hyphens");
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 100_000)
    throw new InvalidArgumentError("expected a number from 1 to 100000");
  return count;
}
