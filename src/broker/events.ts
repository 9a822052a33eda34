import type { Logger } from "../observe/logger.js";

/** What happens between the service and its broker: each writes what is to be known of it, in one place. */
export class BrokerEvents {
  constructor(private readonly logger: Logger) {}

  connected(event: { broker: string; version: string }): void {
    this.logger.info(event, "connected to the broker");
  }

  /** The connection broke, or could not be made; it is tried again. */
  disconnected({ error, ...rest }: { broker: string; attempt: number; error: unknown }): void {
    this.logger.warn({ ...rest, err: error }, "not connected to the broker, connecting again");
  }

  /** The broker takes no messages for now: it is short of memory or disk. */
  blocked(event: { broker: string; reason: string }): void {
    this.logger.warn(event, "the broker takes no messages");
  }

  unblocked(event: { broker: string }): void {
    this.logger.info(event, "the broker takes messages again");
  }

  /** A queue was deleted, or its binding; both stand again. */
  topologyRestored(event: { broker: string }): void {
    this.logger.warn(event, "no queue was bound for a message, the queues were declared again");
  }

  topologyNotRestored({ error, ...rest }: { broker: string; error: unknown }): void {
    this.logger.error({ ...rest, err: error }, "no queue is bound for a message, and the queues could not be declared");
  }

  /** A queue exists with other properties than configured. */
  queueDiffers(event: { queue: string; reason: string }): void {
    this.logger.warn(event, "a queue exists with other properties than configured, and is used as it is");
  }
}
