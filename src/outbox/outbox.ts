import type { BodyOf } from "../broker/messages/message.js";
import type { Topic } from "../broker/messages/topics.js";
import type { Database, TransactionOptions } from "../store/database.js";
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
  transaction<T>(
    database: Database,
    work: (tx: Transaction, outgoing: Outgoing) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>;
}

/** A database, and the outbox for what is to be published of its transactions. */
export interface PublishingDatabase {
  database: Database;
  outbox: Outbox;
}

/** An outbox without a broker: nothing is written, and nothing leaves the process. */
export function createClosedOutbox(): Outbox {
  return {
    transaction: (database, work, options) => database.transaction((tx) => work(tx, { publish: () => {} }), options),
  };
}
