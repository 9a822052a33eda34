import { Command } from "commander";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { readAgentReport } from "./agent-report.js";
import { formatAgentReport } from "./agent-report-text.js";

/** `agent show`. */
export function agentShowCommand(context: CommandContext): Command {
  const command = new Command("show")
    .description("show everything that is known of an agent, and what of it was refused lately")
    .argument("<id>", "id of an agent");
  return withShowOptions(command).action((id: string, options: ShowOptions) =>
    show(context, options, { read: ({ db }) => readAgentReport(db, id), toText: formatAgentReport }),
  );
}
