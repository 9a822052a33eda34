import { Refresher } from "../../lib/async/refresher.js";
import type { Queryable } from "../../store/database.js";
import { renewOutboxLeases } from "../../store/outbox/outbox-rows.js";
import type { OutboxEvents } from "../events.js";

/** For how long a row belongs to who publishes it, unless that is renewed: after that its instance is taken for dead. */
export const LEASE_MS = 60_000;

/** The rows that this instance is publishing: while it lives nobody else takes them, however long the broker needs. */
export class Leases {
  /** When each row was taken, or its lease renewed. */
  readonly #since = new Map<number, number>();
  readonly #refresher: Refresher;

  constructor(private readonly options: { db: Queryable; events: OutboxEvents; leaseMs?: number | undefined }) {
    this.#refresher = new Refresher({
      work: () => this.#renew(),
      intervalMs: this.leaseMs / 6,
      onError: (error) => options.events.upkeepFailed({ error }),
    });
  }

  get leaseMs(): number {
    return this.options.leaseMs ?? LEASE_MS;
  }

  /** Keeps a row while something is done with it. */
  async hold<T>(rowId: number, work: () => Promise<T>): Promise<T> {
    this.#since.set(rowId, performance.now());
    try {
      return await work();
    } finally {
      this.#since.delete(rowId);
    }
  }

  stop(): Promise<void> {
    return this.#refresher.stop();
  }

  async #renew(): Promise<void> {
    const now = performance.now();
    const old = [...this.#since].filter(([, since]) => now - since > this.leaseMs / 3).map(([id]) => id);
    if (old.length === 0) return;
    await renewOutboxLeases(this.options.db, old, this.leaseMs);
    for (const id of old) if (this.#since.has(id)) this.#since.set(id, now);
  }
}
