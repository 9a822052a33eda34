import { Command } from "commander";
import { readBacklog, readDroppedMessages, readUnroutable } from "../../store/outbox/backlog.js";
import { listPublishers } from "../../store/outbox/publishers.js";
import { retryUnroutableMessages } from "../../store/outbox/unroutable-messages.js";
import { changeDatabase, readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { formatTable } from "../terminal/table.js";
import { queueDrainCommand } from "./queue-drain.js";

/** `queue` and the commands below it. */
export function queueCommand(context: CommandContext): Command {
  return new Command("queue")
    .description("messages on their way to the broker")
    .addCommand(statusCommand(context))
    .addCommand(retryCommand(context))
    .addCommand(queueDrainCommand(context));
}

function statusCommand(context: CommandContext): Command {
  return new Command("status")
    .description("show how each instance stands with the broker, and what waits")
    .option("--json", "print JSON only")
    .action(async ({ json }: { json?: true }) => {
      const status = await readDatabase(context, async ({ db }) => ({
        instances: await listPublishers(db),
        backlog: await readBacklog(db),
        unroutable: await readUnroutable(db),
        dropped: await readDroppedMessages(db),
      }));
      if (json) {
        context.print(JSON.stringify(status));
        return;
      }
      const { instances, backlog, unroutable, dropped } = status;
      context.print(
        formatTable(
          ["INSTANCE", "BROKER", "CONNECTED", "CONFIRMS/S", "SAID", "LAST ERROR"],
          instances.map((row) => [
            row.instanceId,
            row.broker,
            row.connected ? (row.blocked ?? "yes") : "no",
            row.confirmedPerSecond.toFixed(1),
            `${Math.round(row.ageS)} s ago`,
            row.lastError ?? "",
          ]),
          context.terminal,
        ),
      );
      context.print("");
      context.print(
        formatTable(
          ["MESSAGES", "TOPIC", "COUNT", "OLDEST"],
          [
            ...backlog.map(({ topic, messages, oldestAt }) => [
              "waiting",
              topic,
              `${messages}`,
              oldestAt.toISOString(),
            ]),
            ...unroutable.map(({ topic, messages, oldestAt }) => [
              "unroutable",
              topic,
              `${messages}`,
              oldestAt.toISOString(),
            ]),
            ...dropped.map(({ topic, messages, droppedAt }) => [
              "dropped",
              topic,
              `${messages}`,
              droppedAt.toISOString(),
            ]),
          ],
          context.terminal,
        ),
      );
    });
}

function retryCommand(context: CommandContext): Command {
  return new Command("retry").description("publish the messages again that no queue was bound for").action(async () => {
    const total = await changeDatabase(context, async ({ db }) => {
      let sum = 0;
      for (let moved = await retryUnroutableMessages(db); moved > 0; moved = await retryUnroutableMessages(db)) {
        sum += moved;
      }
      return sum;
    });
    context.print(`${total} messages are published again`);
  });
}
