/**
 * Hands out what waits, taking the sources it comes from by turns: of one source in the order it came, and whoever brings
 * much keeps nobody else waiting.
 */
export class FairQueue<T> {
  /** Of the source whose turn is next first. */
  readonly #bySource = new Map<string, T[]>();
  /** Sources whose next turn is before those of all others. */
  readonly #ahead = new Map<string, T[]>();
  #length = 0;

  /** How much waits. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds what came from a source.
   *
   * @param isUrgent a source of which nothing waits has the next turn; after it, it waits for its turns as others do
   */
  push(source: string, item: T, isUrgent = false): void {
    this.#length += 1;
    const waiting = this.#ahead.get(source) ?? this.#bySource.get(source);
    if (waiting !== undefined) waiting.push(item);
    else (isUrgent ? this.#ahead : this.#bySource).set(source, [item]);
  }

  /** Takes what is next; undefined when nothing waits. */
  shift(): T | undefined {
    const sources = this.#ahead.size > 0 ? this.#ahead : this.#bySource;
    for (const [source, waiting] of sources) {
      this.#length -= 1;
      const item = waiting.shift();
      sources.delete(source);
      if (waiting.length > 0) this.#bySource.set(source, waiting);
      return item;
    }
    return undefined;
  }
}
