import { readFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { trimEnrolmentToken } from "../../enrolment/tokens/enrolment-token.js";
import type { CommandContext } from "../context.js";
import { findDevInstance } from "../dev/dev-instance.js";
import { readDurationMs } from "../terminal/duration.js";
import { Simulation, type SimulationReport } from "./simulation.js";

const PROGRESS_INTERVAL_MS = 500;

interface SimulateOptions {
  agents: number;
  address?: string;
  ca?: string;
  token?: string;
  interval: number;
  duration?: number;
  json?: true;
}

/** `simulate`: agents that enrol and hold real heartbeat streams. */
export function simulateCommand(context: CommandContext): Command {
  return new Command("simulate")
    .description("enrol simulated agents and hold their heartbeat streams, each over its own connection")
    .requiredOption("--agents <n>", "how many", parseCount)
    .option("--address <host:port>", "the service (default: the dev instance of this directory)")
    .option("--ca <file>", "CA file for its certificate (default: the dev instance's)")
    .option("--token <token>", "enrolment token (default: the dev instance's)", (text) => trimEnrolmentToken(text))
    .option("--interval <duration>", "between the heartbeats of one agent", readDurationMs, 30_000)
    .option("--duration <duration>", "how long; without it until Ctrl-C", readDurationMs)
    .option("--json", "print the summary as JSON only")
    .action((options: SimulateOptions) => simulate(context, options));
}

async function simulate({ signal, print, progress }: CommandContext, options: SimulateOptions): Promise<void> {
  const dev = await findDevInstance();
  const require = (name: string, value: string | undefined): string => {
    if (value !== undefined) return value;
    throw new Error(`--${name} is needed: no dev instance runs in this directory (start one with \`npm start\`)`);
  };
  const simulation = new Simulation({
    agents: options.agents,
    address: require("address", options.address ?? dev?.grpcAddress),
    ca: await readFile(require("ca", options.ca ?? dev?.caFile), "utf8"),
    token: require("token", options.token ?? dev?.token),
    heartbeatIntervalMs: options.interval,
  });
  const progressTimer = setInterval(() => progress(describe(simulation.report())), PROGRESS_INTERVAL_MS);
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
    clearInterval(progressTimer);
    clearTimeout(durationTimer);
    progress("");
  }
  const report = simulation.report();
  await simulation.stop();
  print(options.json ? JSON.stringify(report) : describe(report));
  if (report.enrolled === 0) throw new Error(`no agent could enrol: ${report.lastError ?? "time was up"}`);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function describe(report: SimulationReport): string {
  const { agents, enrolled, streamsOpen, heartbeatsSent, heartbeatsAcknowledged, latencyP50Ms, latencyP99Ms } = report;
  const latency = latencyP50Ms === null ? "" : `, latency p50 ${latencyP50Ms} ms p99 ${latencyP99Ms} ms`;
  return (
    `enrolled ${enrolled}/${agents}, streams open ${streamsOpen}, heartbeats sent ${heartbeatsSent} ` +
    `acknowledged ${heartbeatsAcknowledged}${latency}, errors ${report.errors}` +
    (report.lastError === null ? "" : ` (last: ${report.lastError})`)
  );
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 100_000)
    throw new InvalidArgumentError("expected a number from 1 to 100000");
  return count;
}
