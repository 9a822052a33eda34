import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { BrokerEvents } from "../../broker/events.js";
import { RabbitMqPublisher } from "../../broker/rabbitmq/rabbitmq-publisher.js";
import { type BrokerConfig, brokerIn } from "../../config/broker.js";
import { createId } from "../../lib/ids.js";
import { createLogger } from "../../observe/logger.js";
import { openQueue } from "../../outbox/queue.js";
import type { Database } from "../../store/database.js";
import { readBacklog } from "../../store/outbox/backlog.js";
import { forgetPublisher, isQueueInUse } from "../../store/outbox/publishers.js";
import { changeDatabase, findEnvironment } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { readDurationMs } from "../terminal/duration.js";

const DEFAULT_TIMEOUT_MS = 120_000;
const LOOK_INTERVAL_MS = 250;

/** `queue drain`. */
export function queueDrainCommand(context: CommandContext): Command {
  return new Command("drain")
    .description("wait until the broker has every message; with INGEST_AMQP_URL, publish them as well")
    .option("--timeout <duration>", "fail when it takes longer (default: 2m)", readDurationMs)
    .option("--json", "print JSON only")
    .action(async ({ timeout = DEFAULT_TIMEOUT_MS, json }: { timeout?: number; json?: true }) => {
      const broker = brokerIn(await findEnvironment(context.env));
      await changeDatabase(context, async (database) => {
        if (broker === undefined && !(await isQueueInUse(database.db))) {
          throw new Error("no instance publishes to a broker: set INGEST_AMQP_URL");
        }
        const helper = broker && (await openHelper(database, broker));
        try {
          await untilEmpty(context, database, timeout, helper?.problem);
        } finally {
          await helper?.close();
        }
      });
      context.print(json ? JSON.stringify({ waiting: 0 }) : "no message waits for the broker");
    });
}

/** One more instance that publishes what is left over, for as long as the command runs. */
async function openHelper(database: Database, broker: BrokerConfig) {
  const logger = createLogger("silent");
  const instanceId = createId();
  let publisher: RabbitMqPublisher | undefined;
  const queue = await openQueue({
    database,
    createPublisher: (onReady) => {
      publisher = new RabbitMqPublisher({ ...broker, instanceId, events: new BrokerEvents(logger), onReady });
      return publisher;
    },
    instanceId,
    // To drop messages is for the service to decide.
    maxRows: Number.MAX_SAFE_INTEGER,
    logger,
  });
  return {
    problem: () => (publisher?.isReady ? undefined : (publisher?.state.blocked ?? publisher?.state.lastError?.message)),
    close: async () => {
      await queue.close();
      await forgetPublisher(database.db, instanceId);
    },
  };
}

/** @throws Error when messages still wait after so long */
async function untilEmpty(
  { progress }: CommandContext,
  { db }: Database,
  timeoutMs: number,
  problem: () => string | undefined = () => undefined,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  try {
    for (;;) {
      const messages = (await readBacklog(db)).reduce((sum, topic) => sum + topic.messages, 0);
      if (messages === 0) return;
      if (performance.now() > deadline) {
        const why = problem();
        throw new Error(`${messages} messages still wait${why === undefined ? "" : `: ${why}`}`);
      }
      progress?.(`${messages} messages wait`);
      await delay(LOOK_INTERVAL_MS);
    }
  } finally {
    progress?.("");
  }
}
