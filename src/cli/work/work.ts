import { Command } from "commander";
import { cancelTask, listOpenItems, type OpenItem } from "../../store/work/open-items.js";
import { publishEnds } from "../../work/outgoing-work.js";
import { readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { forEachId } from "../for-each-id.js";
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
  return new Command("list")
    .description(`list them, the newest ${MAX_ITEMS}`)
    .option("--host <name>", "only those of hosts with this name")
    .option("--json", "print JSON only")
    .action(async ({ host, json }: { host?: string; json?: true }) => {
      const items = await readDatabase(context, ({ db }) => listOpenItems(db, { hostname: host, limit: MAX_ITEMS }));
      context.print(json ? JSON.stringify(items) : formatItems(items, context));
    });
}

function formatItems(items: readonly OpenItem[], { terminal }: CommandContext): string {
  return formatTable(
    ["ID", "HOST", "WHAT", "STATUS", "SINCE"],
    items.map((item) => [
      item.id,
      item.hostname,
      `${item.kind} ${item.type}`,
      item.status,
      (item.startedAt ?? item.createdAt).toISOString(),
    ]),
    terminal,
  );
}

function cancelCommand(context: CommandContext): Command {
  return new Command("cancel")
    .description("cancel tasks: one that waits is not sent any more, one that runs is stopped by its agent")
    .argument("<id...>", "ids of tasks")
    .action((ids: string[]) =>
      forEachId(context, ids, "cancelled", async ({ database, outbox }, id) => {
        const cancelled = await outbox.transaction(database, async (tx, outgoing) => {
          const task = await cancelTask(tx, id);
          if (task?.status === "cancelled") publishEnds(outgoing, [{ ...task, status: task.status }]);
          return task;
        });
        if (cancelled === undefined) throw new Error(`no task with the id ${id} is pending or running`);
        return `${cancelled.hostname}: ${cancelled.status}`;
      }),
    );
}
