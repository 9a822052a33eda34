import type { Publisher } from "../../broker/publisher.js";
import { Refresher } from "../../lib/async/refresher.js";
import type { Queryable } from "../../store/database.js";
import { forgetSilentPublishers, recordPublisher } from "../../store/outbox/publishers.js";
import type { OutboxEvents } from "../events.js";

const INTERVAL_MS = 5_000;
/** An instance that said nothing for so long is forgotten, if there is another one to say so. */
const FORGOTTEN_AFTER_S = 24 * 60 * 60;

/** What a {@link PublisherReport} needs. */
export interface PublisherReportOptions {
  db: Queryable;
  publisher: Publisher;
  instanceId: string;
  events: OutboxEvents;
  intervalMs?: number | undefined;
}

/** Writes down, every few seconds, how this instance stands with the broker: for `queue status`, and for commands. */
export class PublisherReport {
  readonly #refresher: Refresher;
  #last = { confirmed: 0, at: performance.now() };
  #confirmedPerSecond = 0;

  constructor(private readonly options: PublisherReportOptions) {
    this.#refresher = new Refresher({
      work: () => this.#write(),
      intervalMs: options.intervalMs ?? INTERVAL_MS,
      onError: (error) => options.events.upkeepFailed({ error }),
    });
  }

  /** Between the last two reports. */
  get confirmedPerSecond(): number {
    return this.#confirmedPerSecond;
  }

  /** The first one, so that commands know from the start that there is a queue. */
  async start(): Promise<void> {
    await forgetSilentPublishers(this.options.db, FORGOTTEN_AFTER_S);
    await this.#write();
  }

  /** Something changed that should be known soon. */
  now(): void {
    void this.#refresher.now();
  }

  /** The last one says that the instance is not connected any more. */
  async stop(): Promise<void> {
    await this.#refresher.stop();
    await this.#write().catch((error) => this.options.events.upkeepFailed({ error }));
  }

  async #write(): Promise<void> {
    const { db, publisher, instanceId } = this.options;
    const { broker, connected, blocked, inFlight, confirmed, lastError } = publisher.state;
    const seconds = (performance.now() - this.#last.at) / 1000;
    const confirmedPerSecond = seconds > 0 ? (confirmed - this.#last.confirmed) / seconds : 0;
    this.#confirmedPerSecond = confirmedPerSecond;
    this.#last = { confirmed, at: performance.now() };
    await recordPublisher(db, {
      instanceId,
      broker,
      connected,
      blocked: blocked ?? null,
      inFlight,
      confirmed,
      confirmedPerSecond,
      lastError: lastError?.message ?? null,
      lastErrorAt: lastError?.at ?? null,
    });
  }
}
