import { type Command, Option } from "commander";
import { trimPasted } from "../../lib/formats/trim-pasted.js";
import type { AgentFilter } from "../../store/agents/agent-list.js";
import { AGENT_STATUSES, type AgentStatus } from "../../store/agents/agents.js";
import { readDurationMs } from "../terminal/duration.js";

/** The options that choose agents. */
export interface FilterOptions {
  hostname?: string;
  org?: string;
  status?: AgentStatus;
  token?: string;
  heardWithin?: number;
  silentFor?: number;
}

/** Gives a command the options of {@link FilterOptions}. */
export function withFilterOptions(command: Command): Command {
  return command
    .option(
      "--hostname <pattern>",
      "only those with such a host name: * stands for any characters, ? for one",
      trimPasted,
    )
    .option("--org <slug>", "only those of this organisation", trimPasted)
    .addOption(new Option("--status <status>", "only those with this status").choices(AGENT_STATUSES))
    .option("--token <token>", "only those that enrolled with this token: its id or label", trimPasted)
    .option("--heard-within <duration>", "only those whose last heartbeat is no older, for example 5m", readDurationMs)
    .option("--silent-for <duration>", "only those whose last heartbeat is older, or that sent none", readDurationMs);
}

/** The filter that they make. */
export function toFilter({ hostname, org, status, token, heardWithin, silentFor }: FilterOptions): AgentFilter {
  return { hostname, organisation: org, status, token, heardWithinMs: heardWithin, silentForMs: silentFor };
}
