/** How many values may wait that were only offered. */
const MAX_OFFERED = 16;

/** A value on its way, and whoever waits for the word that it was taken. */
interface Parcel<T> {
  value: T;
  settle: (isTaken: boolean) => void;
}

/**
 * Values from somebody who has them to somebody who iterates, and back the word that they were taken. What is put goes
 * before what was only offered. A value is taken when the next one is asked for; whoever iterates may also stop while it
 * holds one.
 */
export class Handover<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  #put: Parcel<T> | undefined;
  readonly #offered: Parcel<T>[] = [];
  /** What whoever iterates holds. */
  #held: Parcel<T> | undefined;
  #asking: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void } | undefined;
  #end: { error?: unknown } | undefined;

  /** Hands over a value, one at a time; resolves when it was taken. Never rejects. */
  put(value: T): Promise<void> {
    return new Promise((resolve) => {
      this.#put = { value, settle: (isTaken) => isTaken && resolve() };
      this.#advance();
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
      this.#advance();
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

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    this.#letGo(true);
    return new Promise((resolve, reject) => {
      this.#asking = { resolve, reject };
      this.#advance();
    });
  }

  /** Stops the iteration: what is held was not taken. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#letGo(false);
    this.end();
    return { done: true, value: undefined };
  }

  /** Does the same, and rejects with the error. */
  async throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    await this.return();
    throw error;
  }

  #letGo(isTaken: boolean): void {
    const held = this.#held;
    this.#held = undefined;
    held?.settle(isTaken);
  }

  #advance(): void {
    const asking = this.#asking;
    if (asking === undefined) return;
    if (this.#end !== undefined) {
      this.#asking = undefined;
      if ("error" in this.#end) asking.reject(this.#end.error);
      else asking.resolve({ done: true, value: undefined });
      return;
    }
    const next = this.#put ?? this.#offered.shift();
    if (next === undefined) return;
    if (next === this.#put) this.#put = undefined;
    this.#held = next;
    this.#asking = undefined;
    asking.resolve({ done: false, value: next.value });
  }

  #close(end: { error?: unknown }): void {
    this.#end ??= end;
    for (const { settle } of this.#offered.splice(0)) settle(false);
    this.#advance();
  }
}
