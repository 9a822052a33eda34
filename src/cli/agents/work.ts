import { Command } from "commander";
import { trimPasted } from "../../lib/formats/trim-pasted.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { cancelTask, listOpenItems, type OpenItem } from "../../store/work/open-items.js";
import { publishEnds } from "../../work/outgoing-work.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../interaction/for-each-id.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { names } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";

const MAX_ITEMS = 1_000;

/** `work` and the commands below it. */
export function workCommand(context: CommandContext): Command {
  return new Command("work")
    .description("queries and tasks for agents that have not ended")
    .addCommand(listCommand(context))
    .addCommand(cancelCommand(context));
}

function listCommand(context: CommandContext): Command {
  const command = new Command("list")
    .description(`list them, the newest ${MAX_ITEMS}`)
    .option("--host <name>", "only those of hosts with this name", trimPasted);
  return withShowOptions(command).action(({ host, ...options }: ShowOptions & { host?: string }) =>
    show(context, options, {
      read: ({ db }) => listOpenItems(db, { hostname: host, limit: MAX_ITEMS }),
      toText: formatItems,
    }),
  );
}

function formatItems(items: readonly OpenItem[], layout: Layout): string {
  return formatTable(
    ["ID", names("HOST"), "WHAT", "STATUS", "SINCE"],
    items.map((item) => [
      item.id,
      item.hostname,
      `${item.kind} ${item.type}`,
      item.status,
      item.startedAt ?? item.createdAt,
    ]),
    layout,
  );
}

function cancelCommand(context: CommandContext): Command {
  return new Command("cancel")
    .description("cancel tasks: one that waits is not sent any more, one that runs is stopped by its agent")
    .argument("<id...>", "ids of tasks")
    .option("--json", "print JSON only")
    .action((ids: string[], { json }: { json?: true }) => {
      const work = async ({ database, outbox }: PublishingDatabase, id: string) => {
        const cancelled = await outbox.transaction(database, async (tx, outgoing) => {
          const task = await cancelTask(tx, id);
          if (task?.status === "cancelled") publishEnds(outgoing, [{ ...task, status: task.status }]);
          return task;
        });
        if (cancelled === undefined) throw new Error(`no task with the id ${id} is pending or running`);
        return `${cancelled.hostname}: ${cancelled.status}`;
      };
      return forEachId(context, ids, { done: "cancelled", json, work });
    });
}
