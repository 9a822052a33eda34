import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { type AgentActivity, type AgentEvent, readAgentActivity } from "../../store/agents/agent-activity.js";
import type { Database } from "../../store/database.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { describeError } from "../interaction/describe-error.js";
import { readDurationMs } from "../terminal/duration.js";
import { printable } from "../terminal/printable.js";

const DEFAULT_INTERVAL_MS = 2_000;
/** What is committed this long after its time is still seen. */
const OVERLAP_MS = 5_000;
/** Where no live line can be shown, a line says so often how things stand. */
const LINE_INTERVAL_MS = 10_000;

interface WatchOptions {
  interval?: number;
  json?: true;
}

/** `agent watch`. */
export function agentWatchCommand(context: CommandContext): Command {
  return new Command("watch")
    .description("show who comes and goes, what is refused and why, and how many heartbeats there are, until Ctrl-C")
    .option("--interval <duration>", "between two looks (default: 2s)", readDurationMs)
    .option("--json", "print JSON only, one object a line")
    .action((options: WatchOptions) => readDatabase(context, (database) => watch(context, database, options)));
}

async function watch(context: CommandContext, database: Database, options: WatchOptions): Promise<void> {
  const { interval = DEFAULT_INTERVAL_MS, json } = options;
  const view = new ActivityView(context, json === true);
  let before: AgentActivity | undefined;
  let problem: string | undefined;
  for (;;) {
    try {
      const since = before && new Date(before.now.getTime() - OVERLAP_MS);
      const activity = await readAgentActivity(database.db, since);
      if (problem !== undefined) context.warn("the database answers again");
      problem = undefined;
      view.show(activity, since);
      before = activity;
    } catch (error) {
      const found = describeError(error);
      // The first look tells what keeps the command from the database; later ones that it is away for a while.
      if (before === undefined) throw error;
      if (found !== problem) context.warn(`${found}; trying again`);
      problem = found;
    }
    await delay(interval);
  }
}

/** Prints what was not printed before: looks overlap. */
class ActivityView {
  #shown = new Set<string>();
  #lineAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly context: CommandContext,
    private readonly isJson: boolean,
  ) {}

  /** @param since the time from which on was looked; undefined of the first look */
  show(activity: AgentActivity, since: Date | undefined): void {
    const heartbeatsPerSecond = rateOf(activity, since);
    const { print, progress } = this.context;
    const keys = activity.events.map(keyOf);
    const fresh = activity.events.filter((_, index) => !this.#shown.has(keys[index] as string));
    this.#shown = new Set(keys);
    if (this.isJson) {
      for (const event of fresh) print(JSON.stringify(event));
      const { now, agents } = activity;
      print(JSON.stringify({ at: now, kind: "agents", agents, heartbeatsPerSecond }));
      return;
    }
    if (fresh.length > 0) progress?.("");
    for (const event of fresh) print(describe(event));
    const line = describeAll(activity, heartbeatsPerSecond);
    if (progress !== undefined) progress(line);
    else if (performance.now() - this.#lineAt >= LINE_INTERVAL_MS) {
      print(line);
      this.#lineAt = performance.now();
    }
  }
}

/** What is told of an agent may change between two looks: its status, say. */
function keyOf({ at, kind, agentId, detail }: AgentEvent): string {
  return JSON.stringify([at, kind, agentId ?? detail]);
}

/** Agents that were heard since; their own pace is far slower than that of the looks. */
function rateOf({ heartbeats, now }: AgentActivity, since: Date | undefined): number {
  if (since === undefined) return 0;
  return Math.round((heartbeats / ((now.getTime() - since.getTime()) / 1000)) * 10) / 10;
}

function describe({ at, kind, agentId, hostname, detail }: AgentEvent): string {
  const who = [hostname, agentId].filter((name) => name !== undefined).join(" ");
  return printable([at.toISOString().slice(11, 19), kind.padEnd(10), who, detail].filter(Boolean).join("  "));
}

function describeAll({ agents }: AgentActivity, heartbeatsPerSecond: number): string {
  const { active, offline, pending, revoked } = agents;
  return `active ${active} offline ${offline} pending ${pending} revoked ${revoked}, ${heartbeatsPerSecond} heartbeats/s`;
}
