import type { Publisher } from "../../broker/publisher.js";
import type { Database, TransactionOptions } from "../../store/database.js";
import type { Transaction } from "../../store/transaction.js";
import { CollectedMessages, type MessageRow, type MessageSet, weightOf, writeMessages } from "../collected-messages.js";
import type { Outbox, Outgoing } from "../outbox.js";
import type { Deliveries } from "./deliveries.js";
import type { Lanes, LeftBecause } from "./lanes.js";

/** Messages that may be on their straight way to the broker at once: what the memory of an outage is bounded by. */
const MAX_DIRECT_MESSAGES = 4_000;

/** What {@link PublishingOutbox} needs. */
export interface PublishingOutboxOptions {
  publisher: Publisher;
  deliveries: Deliveries;
  lanes: Lanes;
  leaseMs: number;
  /** Rows were left that could be published. */
  onLeft: () => void;
}

/**
 * The outbox of an instance that publishes. What a transaction wrote goes straight to the broker when it has committed,
 * from memory. What does not, because the broker is away or slower than the agents, is left to the relay.
 */
export class PublishingOutbox implements Outbox {
  #direct = 0;

  constructor(private readonly options: PublishingOutboxOptions) {}

  /** Whether much of what may be on the straight way is: what is left over has to wait. */
  get isBusy(): boolean {
    return this.#direct > MAX_DIRECT_MESSAGES / 2;
  }

  async transaction<T>(
    database: Database,
    work: (tx: Transaction, outgoing: Outgoing) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    let routes: Route[] = [];
    let rows: MessageRow[] = [];
    let committed = false;
    try {
      const result = await database.transaction(async (tx) => {
        // It runs again after a deadlock: what was chosen the first time is not done.
        this.#end(routes, [], false);
        routes = [];
        const collected = new CollectedMessages();
        const result = await work(tx, collected);
        routes = collected.sets.map((set) => this.#chooseRoute(set));
        rows = await writeMessages(tx, collected.sets, (_, index) =>
          routes[index]?.left === undefined ? this.options.leaseMs : 0,
        );
        return result;
      }, options);
      committed = true;
      return result;
    } finally {
      this.#end(routes, rows, committed);
    }
  }

  /** Decided before the row is written, since the row says whether somebody publishes it. */
  #chooseRoute({ topic, messages }: MessageSet): Route {
    const { publisher, lanes } = this.options;
    const size = weightOf(messages);
    if (!publisher.isReady) return this.#leave(topic, size, "broker away");
    if (!lanes.isFree(topic) || (this.#direct > 0 && this.#direct + size > MAX_DIRECT_MESSAGES)) {
      return this.#leave(topic, size, "no room");
    }
    this.#direct += size;
    return { topic, size, left: undefined };
  }

  #leave(topic: MessageSet["topic"], size: number, because: LeftBecause): Route {
    this.options.lanes.beginLeaving(topic);
    return { topic, size, left: because };
  }

  #end(routes: readonly Route[], rows: readonly MessageRow[], committed: boolean): void {
    const { lanes, publisher, onLeft } = this.options;
    routes.forEach(({ topic, size, left }, index) => {
      const row = rows[index];
      if (left !== undefined) lanes.endLeaving(topic, { committed, because: left });
      else if (committed && row !== undefined) this.#deliver(row);
      else this.#direct -= size;
    });
    if (committed && publisher.isReady && routes.some(({ left }) => left !== undefined)) onLeft();
  }

  #deliver(row: MessageRow): void {
    // Whoever waits for the transaction goes first.
    setImmediate(() => {
      void this.options.deliveries.deliver(row).finally(() => {
        this.#direct -= weightOf(row.messages);
      });
    });
  }
}

/** How the messages of one topic go. */
interface Route {
  topic: MessageSet["topic"];
  /** As {@link weightOf} says. */
  size: number;
  /** Why they are left to the relay; undefined when they go straight to the broker. */
  left: LeftBecause | undefined;
}
