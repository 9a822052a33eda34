import type { Logger } from "../observe/logger.js";

/** What happens to messages on their way to the broker: each writes what is to be known of it, in one place. */
export class OutboxEvents {
  constructor(private readonly logger: Logger) {}

  /** Messages wait that should be with the broker; told once a minute. */
  behind(event: { rows: number; messages: number; oldestAgeS: number; problem: string | undefined }): void {
    this.logger.warn(event, "messages wait for the broker");
  }

  /** Nothing waits any more. */
  caughtUp(): void {
    this.logger.info("no messages wait for the broker any more");
  }

  /** The outbox is full, and its oldest metrics were given up. */
  dropped(event: { topic: string; messages: number; maxRows: number }): void {
    this.logger.error(event, "the outbox is full, messages were dropped");
  }

  /** No queue is bound for messages, or the broker takes none that are so long. */
  setAside(event: { topic: string; messages: number }): void {
    this.logger.warn(event, "no queue takes messages, they were set aside");
  }

  /** Somebody else wrote into the outbox: what stands there is no message. */
  unreadable(event: { id: number; topic: string; messages: number }): void {
    this.logger.error(event, "a row of the outbox holds what is no message, which was set aside");
  }

  /** Too many messages were set aside, and the oldest were given up. */
  setAsideDropped(event: { topic: string; messages: number }): void {
    this.logger.error(event, "too many messages were set aside, the oldest were dropped");
  }

  /** What became of messages could not be written: they are published once more. */
  settlementFailed({ rows, error }: { rows: number; error: unknown }): void {
    this.logger.warn({ rows, err: error }, "the outbox could not be updated");
  }

  /** What waits could not be read; it is tried again. */
  relayFailed({ error }: { error: unknown }): void {
    this.logger.warn({ err: error }, "the outbox could not be read");
  }

  /** The bounds of the outbox could not be kept; it is tried again. */
  upkeepFailed({ error }: { error: unknown }): void {
    this.logger.warn({ err: error }, "the outbox could not be looked after");
  }
}
