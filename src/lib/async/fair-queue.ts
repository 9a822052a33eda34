/**
 * Hands out what waits, taking the sources it comes from by turns: of one source in the order it came, and whoever brings
 * much keeps nobody else waiting.
 */
export class FairQueue<T> {
  /** Of the source whose turn is next first. */
  readonly #bySource = new Map<string, T[]>();
  #length = 0;

  /** How much waits. */
  get length(): number {
    return this.#length;
  }

  /** Adds what came from a source. */
  push(source: string, item: T): void {
    this.#length += 1;
    const waiting = this.#bySource.get(source);
    if (waiting === undefined) this.#bySource.set(source, [item]);
    else waiting.push(item);
  }

  /** Takes what is next; undefined when nothing waits. */
  shift(): T | undefined {
    for (const [source, waiting] of this.#bySource) {
      this.#length -= 1;
      const item = waiting.shift();
      this.#bySource.delete(source);
      if (waiting.length > 0) this.#bySource.set(source, waiting);
      return item;
    }
    return undefined;
  }
}
