/**
 * Reads an async iterable so that somebody else can end the reading with an error, also while it waits for the next
 * value.
 *
 * `Promise.race` against one long-lived promise would do the same, but leaves a reaction on that promise with every
 * value: a stream that lives for months would leak.
 */
export class Interruptible<T> {
  readonly #iterator: AsyncIterator<T>;
  #interruption: { error: unknown } | undefined;
  #rejectPending: ((error: unknown) => void) | undefined;

  constructor(source: AsyncIterable<T>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** Makes the pending and every further {@link next} reject with this error. The first call decides. */
  interrupt(error: unknown): void {
    this.#interruption ??= { error };
    this.#rejectPending?.(this.#interruption.error);
  }

  /** The next value; `done` at the end of the source. */
  next(): Promise<IteratorResult<T>> {
    return new Promise((resolve, reject) => {
      if (this.#interruption !== undefined) {
        reject(this.#interruption.error);
        return;
      }
      this.#rejectPending = reject;
      this.#iterator
        .next()
        .then(resolve, reject)
        .finally(() => {
          this.#rejectPending = undefined;
        });
    });
  }
}
