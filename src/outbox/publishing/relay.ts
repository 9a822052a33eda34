import { setImmediate as nextTurn } from "node:timers/promises";
import { TOPICS, type Topic } from "../../broker/messages/topics.js";
import { readOutgoingMessage } from "../../broker/outgoing-message.js";
import type { OutgoingMessage, Publisher } from "../../broker/publisher.js";
import { Refresher } from "../../lib/async/refresher.js";
import type { Queryable } from "../../store/database.js";
import { findDueTopics, type OutboxRow, takeOutboxRows } from "../../store/outbox/outbox-rows.js";
import { type MessageRow, weightOf } from "../collected-messages.js";
import type { OutboxEvents } from "../events.js";
import type { Deliveries } from "./deliveries.js";
import type { Lanes } from "./lanes.js";

/** Messages taken at a time, and those that may be in flight at once. */
const CHUNK_MESSAGES = 500;
const MAX_IN_FLIGHT_MESSAGES = 2_000;
/** How many messages are sent before other work has its turn. */
const TURN_MESSAGES = 100;
const POLL_INTERVAL_MS = 2_000;

/** What a {@link Relay} needs. */
export interface RelayOptions {
  db: Queryable;
  publisher: Publisher;
  deliveries: Deliveries;
  lanes: Lanes;
  leaseMs: number;
  events: OutboxEvents;
  /** Whether new messages need most of what there is: then one chunk at a time is taken. */
  isBusy: () => boolean;
  /** How often it looks for what others left over, in milliseconds. */
  pollMs?: number | undefined;
}

/**
 * Publishes what is left over in the outbox, the oldest first: what could not be published when it was committed, and
 * what an instance that died held. Any instance takes any row, each is taken by one. The topics take turns, so that an
 * hour of metrics does not hold up an event; and new messages go first.
 */
export class Relay {
  readonly #refresher: Refresher;
  #inFlight = 0;
  #onSettled: () => void = () => {};
  #isStopping = false;

  constructor(private readonly options: RelayOptions) {
    this.#refresher = new Refresher({
      work: () => this.#drain(),
      intervalMs: options.pollMs ?? POLL_INTERVAL_MS,
      onError: (error) => options.events.relayFailed({ error }),
    });
  }

  /** Something may be left over. */
  wake(): void {
    void this.#refresher.now();
  }

  /** Resolves when it takes no more. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#onSettled();
    await this.#refresher.stop();
  }

  async #drain(): Promise<void> {
    const { db, publisher, lanes, leaseMs } = this.options;
    if (!publisher.isReady) return;
    const marks = new Map(TOPICS.map((topic) => [topic, lanes.mark(topic)]));
    const found = await findDueTopics(db, TOPICS);
    const due = new Set<Topic>(TOPICS.filter((topic) => found.includes(topic)));
    for (const [topic, mark] of marks) if (!due.has(topic)) lanes.catchUp(topic, mark);
    while (due.size > 0) {
      for (const topic of due) {
        if (!(await this.#hasRoom())) return;
        if (lanes.isPaused(topic)) {
          due.delete(topic);
          continue;
        }
        const mark = lanes.mark(topic);
        const rows = await takeOutboxRows(db, { topic, maxMessages: CHUNK_MESSAGES, leaseMs });
        if (rows.length === 0) {
          lanes.catchUp(topic, mark);
          due.delete(topic);
        }
        await this.#deliver(topic, rows);
      }
    }
  }

  /** Waits until there is room in flight; false when nothing is to be taken any more. */
  async #hasRoom(): Promise<boolean> {
    const { publisher, isBusy } = this.options;
    while (!this.#isStopping && publisher.isReady) {
      const most = isBusy() ? 0 : MAX_IN_FLIGHT_MESSAGES - CHUNK_MESSAGES;
      if (this.#inFlight <= most) return true;
      await this.#settled();
    }
    return false;
  }

  async #deliver(topic: Topic, rows: readonly OutboxRow[]): Promise<void> {
    let sent = 0;
    for (const stored of rows) {
      const row = this.#read(topic, stored);
      const weight = weightOf(row.messages);
      this.#inFlight += weight;
      void this.options.deliveries.deliver(row).finally(() => {
        this.#inFlight -= weight;
        this.#onSettled();
      });
      sent += weight;
      if (sent < TURN_MESSAGES) continue;
      sent = 0;
      await nextTurn();
    }
  }

  /** Whatever a row holds, the rows behind it are not to wait for it. */
  #read(topic: Topic, { id, messages: stored }: OutboxRow): MessageRow {
    const messages: OutgoingMessage[] = [];
    const unreadable: { body: string }[] = [];
    for (const body of Array.isArray(stored) ? stored : [stored]) {
      const message = readOutgoingMessage(topic, body);
      if (message === undefined) unreadable.push({ body: JSON.stringify(body) });
      else messages.push(message);
    }
    if (unreadable.length > 0) this.options.events.unreadable({ id, topic, messages: unreadable.length });
    return { id, topic, messages, unreadable };
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#onSettled = resolve;
    });
  }
}
