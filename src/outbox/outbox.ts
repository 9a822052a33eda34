import type { BodyOf } from "../broker/messages/message.js";
import type { Topic } from "../broker/messages/topics.js";
import type { Database } from "../store/database.js";
import type { Transaction } from "../store/transaction.js";

/** What is to be published of a transaction. */
export interface Outgoing {
  /**
   * Publishes messages if the transaction commits.
   *
   * @param bodies asked for at once, and only where somebody publishes
   */
  publish<T extends Topic>(topic: T, bodies: () => readonly BodyOf<T>[]): void;
}

/**
 * Where whatever is to be published is written, in the transaction of what it tells of: both are there, or neither.
 * Whoever waits for the transaction never waits for the broker.
 */
export interface Outbox {
  /** Runs one transaction; when `work` rejects it is rolled back, and nothing is published. */
  transaction<T>(database: Database, work: (tx: Transaction, outgoing: Outgoing) => Promise<T>): Promise<T>;
}

/** An outbox without a broker: nothing is written, and nothing leaves the process. */
export function createClosedOutbox(): Outbox {
  return { transaction: (database, work) => database.transaction((tx) => work(tx, { publish: () => {} })) };
}
