import type { Topic } from "../../broker/messages/topics.js";
import type { Publisher } from "../../broker/publisher.js";
import { Refresher } from "../../lib/async/refresher.js";
import type { Queryable } from "../../store/database.js";
import {
  countDroppedMessages,
  type DroppedMessages,
  dropOldestRows,
  readBacklog,
  readDroppedMessages,
  readUnroutable,
  type TopicBacklog,
} from "../../store/outbox/backlog.js";
import { trimUnroutableMessages } from "../../store/outbox/unroutable-messages.js";
import type { OutboxEvents } from "../events.js";

/** What may be given up when there is no room, in this order: the newest ones are worth more than the oldest. */
const DROPPABLE_TOPICS: readonly Topic[] = ["metrics.raw", "checks.raw"];
/** Messages that wait for so long should be with the broker. */
const LATE_MS = 60_000;

/** What stands in the database, of all instances. */
export interface StoredFigures {
  /** What waits for the broker. */
  backlog: readonly TopicBacklog[];
  /** What was set aside since no queue is bound for it. */
  unroutable: readonly TopicBacklog[];
  /** What was given up so far. */
  dropped: readonly DroppedMessages[];
}

/** How often {@link OutboxUpkeep} does what, in milliseconds. */
export interface UpkeepTiming {
  boundsMs: number;
  warningMs: number;
}

const TIMING: UpkeepTiming = { boundsMs: 10_000, warningMs: 60_000 };

/** What {@link OutboxUpkeep} needs. */
export interface OutboxUpkeepOptions {
  db: Queryable;
  publisher: Publisher;
  /** Most rows in the outbox. */
  maxRows: number;
  events: OutboxEvents;
  timing?: Partial<UpkeepTiming> | undefined;
}

/** Keeps the outbox, and what was set aside, within bounds, and says once a minute how far behind the broker is. */
export class OutboxUpkeep {
  readonly #bounds: Refresher;
  readonly #warnings: Refresher;
  readonly #setAside = new Map<string, number>();
  #stored: StoredFigures = { backlog: [], unroutable: [], dropped: [] };
  #wasBehind = false;

  constructor(private readonly options: OutboxUpkeepOptions) {
    const { boundsMs, warningMs } = { ...TIMING, ...options.timing };
    const onError = (error: unknown) => options.events.upkeepFailed({ error });
    this.#bounds = new Refresher({ work: () => this.#keepBounds(), intervalMs: boundsMs, onError });
    this.#warnings = new Refresher({ work: () => this.#warn(), intervalMs: warningMs, onError });
  }

  /** As it was at the last look at the bounds. */
  get stored(): StoredFigures {
    return this.#stored;
  }

  /** Messages were set aside: told with the next look at the bounds, however many times it is. */
  noteSetAside({ topic, messages }: { topic: string; messages: number }): void {
    this.#setAside.set(topic, (this.#setAside.get(topic) ?? 0) + messages);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#bounds.stop(), this.#warnings.stop()]);
    this.#tellSetAside();
  }

  async #keepBounds(): Promise<void> {
    const { db, maxRows, events } = this.options;
    // Each count reads the whole outbox, so there is one while there is room.
    let backlog = await readBacklog(db);
    if (backlog.reduce((sum, { rows }) => sum + rows, 0) > maxRows) {
      for (const topic of DROPPABLE_TOPICS) {
        const messages = await dropOldestRows(db, topic, maxRows);
        if (messages === 0) continue;
        await countDroppedMessages(db, { topic, from: "outbox", messages });
        events.dropped({ topic, messages, maxRows });
      }
      backlog = await readBacklog(db);
    }
    this.#tellSetAside();
    for (const dropped of await trimUnroutableMessages(db)) {
      await countDroppedMessages(db, { ...dropped, from: "unroutable" });
      events.setAsideDropped(dropped);
    }
    this.#stored = {
      backlog,
      unroutable: await readUnroutable(db),
      dropped: await readDroppedMessages(db),
    };
  }

  #tellSetAside(): void {
    for (const [topic, messages] of this.#setAside) this.options.events.setAside({ topic, messages });
    this.#setAside.clear();
  }

  async #warn(): Promise<void> {
    const { db, publisher, events } = this.options;
    const backlog = await readBacklog(db);
    const oldestAgeMs = Math.max(0, ...backlog.map((topic) => topic.oldestAgeMs));
    const { connected, blocked, lastError } = publisher.state;
    const isBehind = backlog.length > 0 && (oldestAgeMs > LATE_MS || !publisher.isReady);
    if (isBehind) {
      events.behind({
        rows: backlog.reduce((sum, { rows }) => sum + rows, 0),
        messages: backlog.reduce((sum, { messages }) => sum + messages, 0),
        oldestAgeS: Math.round(oldestAgeMs / 1000),
        problem: connected ? blocked : lastError?.message,
      });
    } else if (this.#wasBehind) events.caughtUp();
    this.#wasBehind = isBehind;
  }
}
