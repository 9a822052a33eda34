import { Command } from "commander";
import type { Queryable } from "../../store/database.js";
import { readBacklog, readDroppedMessages, readUnroutable } from "../../store/outbox/backlog.js";
import { listPublishers } from "../../store/outbox/publishers.js";
import { retryUnroutableMessages } from "../../store/outbox/unroutable-messages.js";
import { changeDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { type ShowOptions, show, withShowOptions } from "../interaction/show.js";
import { names, optional, sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
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
  const command = new Command("status").description("show how each instance stands with the broker, and what waits");
  return withShowOptions(command).action((options: ShowOptions) =>
    show(context, options, { read: ({ db }) => readStatus(db), toText: formatStatus }),
  );
}

async function readStatus(db: Queryable) {
  return {
    instances: await listPublishers(db),
    backlog: await readBacklog(db),
    unroutable: await readUnroutable(db),
    dropped: await readDroppedMessages(db),
  };
}

function formatStatus(status: Awaited<ReturnType<typeof readStatus>>, layout: Layout): string {
  const { instances, backlog, unroutable, dropped } = status;
  const publishers = formatTable(
    [
      "INSTANCE",
      names("BROKER"),
      sentences("CONNECTED"),
      optional("CONFIRMS/S"),
      optional("SAID"),
      sentences("LAST ERROR"),
    ],
    instances.map((row) => [
      row.instanceId,
      row.broker,
      row.isGone ? "gone" : row.connected ? (row.blocked ?? "yes") : "no",
      row.isGone ? "" : row.confirmedPerSecond.toFixed(1),
      `${Math.round(row.ageS)} s ago`,
      row.lastError ?? "",
    ]),
    layout,
  );
  const messages = formatTable(
    ["MESSAGES", "TOPIC", "COUNT", "OLDEST"],
    [
      ...backlog.map(({ topic, messages, oldestAt }) => ["waiting", topic, `${messages}`, oldestAt]),
      ...unroutable.map(({ topic, messages, oldestAt }) => ["unroutable", topic, `${messages}`, oldestAt]),
      ...dropped.map(({ topic, messages, droppedAt }) => ["dropped", topic, `${messages}`, droppedAt]),
    ],
    layout,
  );
  return `${publishers}\n\n${messages}`;
}

function retryCommand(context: CommandContext): Command {
  const command = new Command("retry")
    .description("publish the messages again that no queue was bound for")
    .option("--json", "print JSON only");
  return command.action(async ({ json }: { json?: true }) => {
    const total = await changeDatabase(context, ({ db }) => retryUnroutableMessages(db));
    context.print(json ? JSON.stringify({ published: total }) : `${total} messages are published again`);
  });
}
