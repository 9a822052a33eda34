const PERIOD_MS = 10_000;

/**
 * Counts the streams that the client of an HTTP/2 session resets. Such a stream does not count any more for the limit of
 * streams at one time (CVE-2023-44487), nghttp2 takes a thousand of a connection before it minds, all of them in one read,
 * and each takes as long as a call that is begun.
 */
export class ResetCount {
  #resets = 0;
  #since = performance.now();

  /**
   * @param maxPerSecond on average over ten seconds: a client may give up all of its streams at once, and those that it
   * opens instead
   */
  constructor(private readonly maxPerSecond: number) {}

  /** Counts one more, and tells whether these are too many. */
  isFlood(): boolean {
    const now = performance.now();
    if (now - this.#since > PERIOD_MS) {
      this.#resets = 0;
      this.#since = now;
    }
    this.#resets += 1;
    return this.#resets > (this.maxPerSecond * PERIOD_MS) / 1_000;
  }
}
