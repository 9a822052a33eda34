import { Command } from "commander";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { readAgentReport } from "./agent-report.js";
import { formatAgentReport } from "./agent-report-text.js";

/** `agent show`. */
export function agentShowCommand(context: CommandContext): Command {
  return new Command("show")
    .description("show everything that is known of an agent, and what of it was refused lately")
    .argument("<id>", "id of an agent")
    .option("--json", "print JSON only")
    .action(async (id: string, { json }: { json?: true }) => {
      const report = await readDatabase(context, ({ db }) => readAgentReport(db, id));
      context.print(json ? JSON.stringify(report) : formatAgentReport(report, context.terminal));
    });
}
