/** The pieces in which the body of a request arrives; somebody else may end the reading, also while it waits. */
export class RequestPieces {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #end: { error: unknown } | undefined;
  #rejectPending: ((error: unknown) => void) | undefined;

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#iterator = body[Symbol.asyncIterator]();
  }

  /** Makes the pending and every further {@link next} reject with this error. */
  end(error: unknown): void {
    this.#end ??= { error };
    this.#rejectPending?.(this.#end.error);
  }

  /** The next piece; `done` after the last one. */
  next(): Promise<IteratorResult<Uint8Array>> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end.error);
        return;
      }
      this.#rejectPending = reject;
      this.#iterator.next().then(resolve, reject);
    });
  }
}
