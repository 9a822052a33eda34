/** How a {@link SummedUp} tells. */
export interface SummedUpOptions<Counts> {
  /** Takes what was counted of one key: the first time at once, then once a period what has come since. */
  tell: (key: string, counts: Counts, occurrences: number) => void;
  add: (sum: Counts, more: Counts) => Counts;
  periodMs: number;
  /** Most keys that are counted one by one in a period. */
  maxKeys: number;
  /** Stands for all further ones. */
  otherKey: string;
}

interface Entry<Counts> {
  sum: Counts;
  occurrences: number;
}

/** Sums up what may happen often, so that it is told seldom: of each key at once, and then once a period. */
export class SummedUp<Counts> {
  /** Undefined once it was told and nothing has come since. */
  readonly #entries = new Map<string, Entry<Counts> | undefined>();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SummedUpOptions<Counts>) {}

  /** Counts an occurrence. */
  count(key: string, counts: Counts): void {
    const { tell, add, maxKeys, otherKey } = this.options;
    const isKnown = this.#entries.has(key);
    const own = isKnown || this.#entries.size < maxKeys ? key : otherKey;
    if (!this.#entries.has(own)) {
      this.#entries.set(own, undefined);
      this.#timer ??= setInterval(() => this.#flush(), this.options.periodMs).unref();
      tell(own, counts, 1);
      return;
    }
    const entry = this.#entries.get(own);
    this.#entries.set(own, {
      sum: entry === undefined ? counts : add(entry.sum, counts),
      occurrences: (entry?.occurrences ?? 0) + 1,
    });
  }

  /** Tells of what has come since, and forgets the keys of which nothing has. */
  #flush(): void {
    for (const [key, entry] of this.#entries) {
      if (entry === undefined) this.#entries.delete(key);
      else {
        this.#entries.set(key, undefined);
        this.options.tell(key, entry.sum, entry.occurrences);
      }
    }
    if (this.#entries.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
