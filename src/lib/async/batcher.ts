/** What became of one item of a batch: done with a result, failed, or to be tried again with a later batch. */
export type BatchOutcome<Result> = { done: Result } | { failed: unknown } | { busy: true };

/** How a {@link Batcher} groups items. */
export interface BatcherOptions<Item, Result> {
  /** Writes one batch; the outcomes are in the order of the items. A rejection fails the whole batch. */
  flush: (items: readonly Item[]) => Promise<readonly BatchOutcome<Result>[]>;
  /** Most items in one batch. */
  maxItems: number;
  /** Most weight in one batch, in a unit of the caller's; unbounded unless given. A heavier item still goes, alone. */
  maxWeight?: number;
  /** Most weight that waits, unbounded unless given; {@link Batcher.add} waits beyond that. */
  maxWaitingWeight?: number;
  /**
   * Least time between the beginnings of two batches, in milliseconds; 0 unless given. The first item after a pause still
   * goes at once; of many that come one after the other fewer, fuller batches are made.
   */
  paceMs?: number;
  /**
   * What a batch waits for before it begins: so many items, or until its first one has waited so long, in milliseconds, or a
   * full batch. Nothing unless given. Where items keep coming faster than they are written, so many wait anyway.
   */
  company?: { items: number; withinMs: number };
}

/** How long an item that was busy waits before it is tried again: a part of what it has waited, within bounds. */
const BUSY_RETRY = { share: 0.1, leastMs: 10, mostMs: 1_000 };

interface Waiting<Item, Result> {
  item: Item;
  weight: number;
  since: number;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/**
 * Group commit: while one batch is being written the next one fills; when none is, an item goes at once, or waits a moment
 * for company. One batch is in flight at a time.
 */
export class Batcher<Item, Result> {
  readonly #options: Required<BatcherOptions<Item, Result>>;
  readonly #waiting: Waiting<Item, Result>[] = [];
  readonly #admissions: { weight: number; admit: () => void }[] = [];
  #waitingWeight = 0;
  #flushing = false;
  #notBefore = 0;
  /** Ends the wait for company. */
  #onCompany: (() => void) | undefined;

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = {
      maxWeight: Number.POSITIVE_INFINITY,
      maxWaitingWeight: Number.POSITIVE_INFINITY,
      paceMs: 0,
      company: { items: 1, withinMs: 0 },
      ...options,
    };
  }

  /** The weight of what waits, beside what is being written. */
  get waitingWeight(): number {
    return this.#waitingWeight;
  }

  /**
   * Hands an item to the next batch that has room.
   *
   * @param weight what the item counts for in the bounds of weight, if there are any
   * @returns its result, after the flush that held it
   */
  async add(item: Item, weight = 0): Promise<Result> {
    // Strictly first come, first served: who finds others waiting for room queues behind them.
    if (this.#admissions.length > 0 || this.#isFull(weight)) {
      await new Promise<void>((admit) => this.#admissions.push({ weight, admit }));
    } else {
      this.#waitingWeight += weight;
    }
    return new Promise<Result>((resolve, reject) => {
      this.#enqueue({ item, weight, since: performance.now(), resolve, reject });
    });
  }

  #isFull(weight: number): boolean {
    return this.#waitingWeight > 0 && this.#waitingWeight + weight > this.#options.maxWaitingWeight;
  }

  #enqueue(entry: Waiting<Item, Result>): void {
    this.#waiting.push(entry);
    if (this.#hasCompany()) this.#onCompany?.();
    if (!this.#flushing) void this.#run();
  }

  async #run(): Promise<void> {
    this.#flushing = true;
    // Items that arrive in this turn of the event loop belong to the first batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      await this.#awaitCompany();
      const waitMs = this.#notBefore - performance.now();
      if (waitMs > 0) await new Promise<void>((resolve) => setTimeout(resolve, waitMs));
      this.#notBefore = performance.now() + this.#options.paceMs;
      await this.#flushOne(this.#takeBatch());
    }
    this.#flushing = false;
  }

  async #awaitCompany(): Promise<void> {
    const [first] = this.#waiting;
    if (first === undefined || this.#hasCompany()) return;
    const waitMs = first.since + this.#options.company.withinMs - performance.now();
    if (waitMs <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#onCompany = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onCompany = undefined;
  }

  #hasCompany(): boolean {
    const { company, maxItems, maxWeight } = this.#options;
    return (
      this.#waiting.length >= Math.min(company.items, maxItems) ||
      this.#waiting.reduce((sum, { weight }) => sum + weight, 0) >= maxWeight
    );
  }

  /** Lets in who waits, for as long as there is room; their weight counts from here on. */
  #admit(): void {
    for (let next = this.#admissions[0]; next !== undefined && !this.#isFull(next.weight); next = this.#admissions[0]) {
      this.#admissions.shift();
      this.#waitingWeight += next.weight;
      next.admit();
    }
  }

  #takeBatch(): Waiting<Item, Result>[] {
    let weight = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      if (count === this.#options.maxItems || (count > 0 && weight + entry.weight > this.#options.maxWeight)) break;
      weight += entry.weight;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #flushOne(batch: Waiting<Item, Result>[]): Promise<void> {
    let outcomes: readonly BatchOutcome<Result>[];
    try {
      outcomes = await this.#options.flush(batch.map(({ item }) => item));
    } catch (error) {
      outcomes = batch.map(() => ({ failed: error }));
    }
    batch.forEach((entry, index) => {
      this.#settle(entry, outcomes[index] ?? { failed: new Error("the flush gave no outcome for this item") });
    });
  }

  #settle(entry: Waiting<Item, Result>, outcome: BatchOutcome<Result>): void {
    if ("busy" in outcome) {
      const waitedMs = performance.now() - entry.since;
      const { share, leastMs, mostMs } = BUSY_RETRY;
      setTimeout(() => this.#enqueue(entry), Math.min(Math.max(share * waitedMs, leastMs), mostMs));
      return;
    }
    this.#waitingWeight -= entry.weight;
    this.#admit();
    if ("done" in outcome) entry.resolve(outcome.done);
    else entry.reject(outcome.failed);
  }
}
