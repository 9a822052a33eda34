const KEPT_GAPS = 3;
/** An interval that differs by less is the same one. */
const TOLERANCE = 0.2;
/** Whoever speaks less often than this has no interval that anybody could wait for. */
const LARGEST_INTERVAL_MS = 24 * 60 * 60 * 1000;

/**
 * Learns how often an agent speaks by itself, from its regular messages: bursts of results say nothing of it. The middle
 * one of the last three gaps counts, so that neither a pause of the agent nor two messages on each other's heels matter.
 */
export class LearnedInterval {
  #gaps: readonly number[] = [];
  #lastAt: number | undefined;
  /** The middle one of the gaps. */
  #middle: number | undefined;
  #stored: number | null = null;

  /** What earlier sessions of the agent learned; null when they did not. */
  startWith(storedMs: number | null): void {
    this.#stored = storedMs;
  }

  /** In milliseconds; null until it is known. */
  get ms(): number | null {
    return this.#middle ?? this.#stored;
  }

  /** What is to be stored of it; null when what is stored is right. */
  get unstoredMs(): number | null {
    const { ms } = this;
    if (ms === null || (this.#stored !== null && Math.abs(ms - this.#stored) <= this.#stored * TOLERANCE)) return null;
    return Math.round(ms);
  }

  /** It is stored. */
  markStored(ms: number): void {
    this.#stored = ms;
  }

  /**
   * A regular message came.
   *
   * @param at when, in milliseconds of a clock that only goes forward
   * @param heardSince since when the agent could be heard: a gap that began earlier is not the agent's own
   */
  hear(at: number, heardSince: number): void {
    if (this.#lastAt !== undefined && this.#lastAt >= heardSince && at - this.#lastAt <= LARGEST_INTERVAL_MS) {
      this.#gaps = [...this.#gaps, at - this.#lastAt].slice(-KEPT_GAPS);
      this.#middle = [...this.#gaps].sort((a, b) => a - b)[Math.floor((this.#gaps.length - 1) / 2)];
    }
    this.#lastAt = at;
  }
}
