import { BrokerEvents } from "../../broker/events.js";
import { RabbitMqPublisher } from "../../broker/rabbitmq/rabbitmq-publisher.js";
import type { BrokerConfig } from "../../config/broker.js";
import type { Config } from "../../config/config.js";
import type { Lifetime } from "../../lib/lifetime.js";
import type { Logger } from "../../observe/logger.js";
import { findAbandonedMessages } from "../../outbox/abandoned-messages.js";
import { createClosedOutbox, type Outbox } from "../../outbox/outbox.js";
import { openQueue, type QueueFigures } from "../../outbox/queue.js";
import { openDatabase, type Queryable } from "../../store/database.js";
import type { AppTiming } from "../app-timing.js";

/** For what is left over, settling what was published, and looking after the outbox. */
const QUEUE_CONNECTIONS = 3;
/** Confirms that are still to come are waited for, and what became of them is written. */
const QUEUE_CLOSE_TIMEOUT_MS = 8_000;
/** Where what is to be published is written. */
export interface OpenOutbox {
  outbox: Outbox;
  /** Somebody else wrote messages there. */
  hear(): void;
  /** How the queue stands; undefined when there is none. */
  readonly figures: QueueFigures | undefined;
}

/** An outbox for an instance that publishes nothing. */
export async function openClosedOutbox({
  db,
  logger,
  lifetime,
}: {
  db: Queryable;
  logger: Logger;
  lifetime: Lifetime;
}): Promise<OpenOutbox> {
  const messages = await lifetime.open("outbox", () => findAbandonedMessages(db));
  if (messages > 0) logger.warn({ messages }, "messages wait in the outbox, and no broker is configured");
  logger.info("no broker is configured, nothing leaves this process (INGEST_AMQP_URL)");
  return { outbox: createClosedOutbox(), hear: () => {}, figures: undefined };
}

/** An outbox whose messages go to a broker, which need not be there yet. */
export async function openQueueTo(
  broker: BrokerConfig,
  {
    config,
    logger,
    timing,
    lifetime,
    instanceId,
    onIdleError,
  }: {
    config: Config;
    logger: Logger;
    timing: AppTiming;
    lifetime: Lifetime;
    instanceId: string;
    onIdleError: (error: Error) => void;
  },
): Promise<OpenOutbox> {
  const database = openDatabase({ url: config.databaseUrl, maxConnections: QUEUE_CONNECTIONS, onIdleError });
  lifetime.register("database of the queue", () => database.close());
  const events = new BrokerEvents(logger);
  const createPublisher = (onReady: () => void) =>
    new RabbitMqPublisher({ ...broker, instanceId, events, onReady, timing: timing.publisher });
  return lifetime.open(
    "queue",
    () =>
      openQueue({
        database,
        createPublisher,
        instanceId,
        maxRows: config.outboxMaxRows,
        logger,
        timing: timing.queue,
      }),
    (opened) => opened.close(),
    { timeoutMs: QUEUE_CLOSE_TIMEOUT_MS },
  );
}
