import { Command } from "commander";
import { type InstanceRow, listInstances } from "../../store/sessions/instances.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { formatTable } from "../terminal/table.js";

/** `instance` and the commands below it. */
export function instanceCommand(context: CommandContext): Command {
  return new Command("instance").description("the processes that serve agents").addCommand(listCommand(context));
}

function listCommand(context: CommandContext): Command {
  return new Command("list")
    .description("list the instances, with those that went away without a word in the last day")
    .option("--json", "print JSON only")
    .action(async ({ json }: { json?: true }) => {
      const rows = await readDatabase(context, ({ db }) => listInstances(db));
      if (json) {
        context.print(JSON.stringify(rows));
        return;
      }
      context.print(
        formatTable(
          ["ID", "VERSION", "ADDRESS", "STARTED", "SESSIONS", "LAST RENEWED", "STATE"],
          rows.map((row) => [
            row.id,
            row.version,
            row.address,
            row.startedAt.toISOString(),
            `${row.sessions}`,
            row.renewedAt.toISOString(),
            stateOf(row),
          ]),
          context.terminal,
        ),
      );
    });
}

function stateOf({ isGone, draining }: InstanceRow): string {
  if (isGone) return "gone";
  return draining ? "draining" : "running";
}
