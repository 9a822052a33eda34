/** How many values may wait that were only offered. */
const MAX_OFFERED = 16;

/**
 * Values from somebody who has them to somebody who iterates, and back the word that they were taken. What is put goes
 * before what was only offered.
 */
export class Handover<T> implements AsyncIterable<T> {
  #value: { value: T; taken: () => void } | undefined;
  readonly #offered: { value: T; settle: (isTaken: boolean) => void }[] = [];
  #end: { error?: unknown } | undefined;
  #wake: () => void = () => {};

  /** Hands over a value, one at a time; resolves when the next one is asked for. Never rejects. */
  put(value: T): Promise<void> {
    return new Promise((taken) => {
      this.#value = { value, taken };
      this.#wake();
    });
  }

  /**
   * Offers a value that can also be dropped: when the iteration has ended, or sixteen others wait already. Resolves with
   * whether it was taken.
   */
  offer(value: T): Promise<boolean> {
    if (this.#end !== undefined || this.#offered.length >= MAX_OFFERED) return Promise.resolve(false);
    return new Promise((settle) => {
      this.#offered.push({ value, settle });
      this.#wake();
    });
  }

  /** Ends the iteration. What was not taken is dropped. */
  end(): void {
    this.#close({});
  }

  /** Makes the iteration throw this error. What was not taken is dropped. */
  fail(error: unknown): void {
    this.#close({ error });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      if (this.#end !== undefined) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      }
      const next = this.#value;
      this.#value = undefined;
      const offered = next === undefined ? this.#offered.shift() : undefined;
      if (next !== undefined) {
        yield next.value;
        next.taken();
      } else if (offered !== undefined) {
        yield* this.#pass(offered);
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Who iterates may stop while it holds the value. */
  *#pass({ value, settle }: { value: T; settle: (isTaken: boolean) => void }): Generator<T, void> {
    let isTaken = false;
    try {
      yield value;
      isTaken = true;
    } finally {
      settle(isTaken);
    }
  }

  #close(end: { error?: unknown }): void {
    this.#end ??= end;
    for (const { settle } of this.#offered.splice(0)) settle(false);
    this.#wake();
  }
}
