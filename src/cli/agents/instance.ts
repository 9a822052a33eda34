import { Command } from "commander";
import { type InstanceRow, listInstances } from "../../store/sessions/instances.js";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { names, optional } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";

/** `instance` and the commands below it. */
export function instanceCommand(context: CommandContext): Command {
  return new Command("instance").description("the processes that serve agents").addCommand(listCommand(context));
}

function listCommand(context: CommandContext): Command {
  const command = new Command("list").description(
    "list the instances, with those that went away without a word in the last day",
  );
  return withShowOptions(command).action((options: ShowOptions) =>
    show(context, options, { read: ({ db }) => listInstances(db), toText: formatInstances }),
  );
}

function formatInstances(rows: readonly InstanceRow[], layout: Layout): string {
  return formatTable(
    ["ID", optional("VERSION"), names("ADDRESS"), optional("STARTED"), "SESSIONS", "LAST RENEWED", "STATE"],
    rows.map((row) => [
      row.id,
      row.version,
      row.address,
      row.startedAt,
      `${row.sessions}`,
      row.renewedAt,
      stateOf(row),
    ]),
    layout,
  );
}

function stateOf({ isGone, draining }: InstanceRow): string {
  if (isGone) return "gone";
  return draining ? "draining" : "running";
}
