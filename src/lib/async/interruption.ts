/**
 * Lets somebody end, with an error, what another one waits for.
 *
 * `Promise.race` against one long-lived promise would do the same, but leaves a reaction on that promise with every
 * wait: a stream that lives for months would leak.
 */
export class Interruption {
  #interrupted: { error: unknown } | undefined;
  #rejectPending: ((error: unknown) => void) | undefined;

  /** Makes the pending and every further {@link wait} reject with this error. The first call decides. */
  interrupt(error: unknown): void {
    if (this.#interrupted !== undefined) return;
    this.#interrupted = { error };
    this.#rejectPending?.(error);
  }

  /**
   * Waits for some work, one at a time; after an interruption none is begun. Work that is interrupted goes on; what it
   * fails with then is nobody's.
   */
  wait<T>(begin: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#interrupted !== undefined) {
        reject(this.#interrupted.error);
        return;
      }
      this.#rejectPending = reject;
      const settled = () => {
        if (this.#rejectPending === reject) this.#rejectPending = undefined;
      };
      begin().then(
        (result) => {
          settled();
          resolve(result);
        },
        (error) => {
          settled();
          reject(error);
        },
      );
    });
  }
}
