/** One value at a time from somebody who has it to somebody who iterates, and back the word that it was taken. */
export class Handover<T> implements AsyncIterable<T> {
  #value: { value: T; taken: () => void } | undefined;
  #end: { error?: unknown } | undefined;
  #wake: () => void = () => {};

  /** Hands over a value, one at a time; resolves when the next one is asked for. Never rejects. */
  put(value: T): Promise<void> {
    return new Promise((taken) => {
      this.#value = { value, taken };
      this.#wake();
    });
  }

  /** Ends the iteration. A value that was not taken is dropped. */
  end(): void {
    this.#end ??= {};
    this.#wake();
  }

  /** Makes the iteration throw this error. A value that was not taken is dropped. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      if (this.#end !== undefined) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      }
      const next = this.#value;
      this.#value = undefined;
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else {
        yield next.value;
        next.taken();
      }
    }
  }
}
