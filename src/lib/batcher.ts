/** What became of one item of a batch: done with a result, failed, or to be tried again with a later batch. */
export type BatchOutcome<Result> = { done: Result } | { failed: unknown } | { busy: true };

/** How a {@link Batcher} groups items. */
export interface BatcherOptions<Item, Result> {
  /** Writes one batch; the outcomes are in the order of the items. A rejection fails the whole batch. */
  flush: (items: readonly Item[]) => Promise<readonly BatchOutcome<Result>[]>;
  /** Most items in one batch. */
  maxItems: number;
  /** Most bytes in one batch, unbounded unless given; a single larger item still goes, alone. */
  maxBytes?: number;
  /** Most bytes that wait, unbounded unless given; {@link Batcher.add} waits beyond that. */
  maxWaitingBytes?: number;
  /** How long an item that was busy waits before it is tried again, in milliseconds; 100 unless given. */
  busyRetryMs?: number;
}

interface Waiting<Item, Result> {
  item: Item;
  bytes: number;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/**
 * Group commit without a timer: while one batch is being written the next one fills; when none is, an item goes at
 * once. One batch is in flight at a time.
 */
export class Batcher<Item, Result> {
  readonly #waiting: Waiting<Item, Result>[] = [];
  readonly #admissions: { bytes: number; admit: () => void }[] = [];
  #waitingBytes = 0;
  #flushing = false;

  readonly #options: Required<BatcherOptions<Item, Result>>;

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = {
      maxBytes: Number.POSITIVE_INFINITY,
      maxWaitingBytes: Number.POSITIVE_INFINITY,
      busyRetryMs: 100,
      ...options,
    };
  }

  /**
   * Hands an item to the next batch that has room.
   *
   * @param bytes what the item counts for in the byte bounds, if there are any
   * @returns its result, after the flush that held it
   */
  async add(item: Item, bytes = 0): Promise<Result> {
    // Strictly first come, first served: who finds others waiting for room queues behind them.
    if (this.#admissions.length > 0 || this.#isFull(bytes)) {
      await new Promise<void>((admit) => this.#admissions.push({ bytes, admit }));
    } else {
      this.#waitingBytes += bytes;
    }
    return new Promise<Result>((resolve, reject) => {
      this.#enqueue({ item, bytes, resolve, reject });
    });
  }

  #isFull(bytes: number): boolean {
    return this.#waitingBytes > 0 && this.#waitingBytes + bytes > this.#options.maxWaitingBytes;
  }

  #enqueue(entry: Waiting<Item, Result>): void {
    this.#waiting.push(entry);
    if (!this.#flushing) void this.#run();
  }

  async #run(): Promise<void> {
    this.#flushing = true;
    // Items that arrive in this turn of the event loop belong to the first batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) await this.#flushOne(this.#takeBatch());
    this.#flushing = false;
  }

  /** Lets in who waits, for as long as there is room; their bytes count from here on. */
  #admit(): void {
    for (let next = this.#admissions[0]; next !== undefined && !this.#isFull(next.bytes); next = this.#admissions[0]) {
      this.#admissions.shift();
      this.#waitingBytes += next.bytes;
      next.admit();
    }
  }

  #takeBatch(): Waiting<Item, Result>[] {
    let bytes = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      if (count === this.#options.maxItems || (count > 0 && bytes + entry.bytes > this.#options.maxBytes)) break;
      bytes += entry.bytes;
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
      setTimeout(() => this.#enqueue(entry), this.#options.busyRetryMs);
      return;
    }
    this.#waitingBytes -= entry.bytes;
    this.#admit();
    if ("done" in outcome) entry.resolve(outcome.done);
    else entry.reject(outcome.failed);
  }
}
