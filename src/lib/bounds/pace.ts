/** How often something may happen. */
export interface PaceLimit {
  perMinute: number;
  /** How many may come at once, after a pause that is long enough. */
  burst: number;
}

/** More keys than there are agents. */
const MAX_KEYS = 50_000;

/**
 * Keeps each of many keys to a pace: a burst, and from then on one turn after the other. Of each key one number is kept,
 * and none of those whose whole burst is free again; beyond 50,000 the one that came longest ago is forgotten, so that
 * whoever makes up keys takes no memory, and never keeps another one waiting.
 */
export class Pace {
  /** When the whole burst of a key is free again; the one that came longest ago first. */
  readonly #freeAt = new Map<string, number>();
  readonly #intervalMs: number;
  readonly #headStartMs: number;
  readonly #now: () => number;
  readonly #maxKeys: number;

  constructor({ perMinute, burst }: PaceLimit, { now = () => performance.now(), maxKeys = MAX_KEYS } = {}) {
    this.#intervalMs = 60_000 / perMinute;
    this.#headStartMs = this.#intervalMs === 0 ? Number.POSITIVE_INFINITY : (burst - 1) * this.#intervalMs;
    this.#now = now;
    this.#maxKeys = maxKeys;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#freeAt.size;
  }

  /** Takes a turn if one is free. Returns 0, or how long it is until one is free, in milliseconds. */
  tryTake(key: string): number {
    const waitMs = this.#waitMs(key);
    if (waitMs === 0) this.#book(key);
    return waitMs;
  }

  /** Takes the next turn, and returns how long it is until it comes, in milliseconds; 0 when it is there. */
  take(key: string): number {
    const waitMs = this.#waitMs(key);
    this.#book(key);
    return waitMs;
  }

  #waitMs(key: string): number {
    const now = this.#now();
    return Math.max(0, (this.#freeAt.get(key) ?? now) - this.#headStartMs - now);
  }

  #book(key: string): void {
    const now = this.#now();
    const freeAt = Math.max(now, this.#freeAt.get(key) ?? now) + this.#intervalMs;
    // To the end of the order.
    this.#freeAt.delete(key);
    this.#freeAt.set(key, freeAt);
    for (const [oldest, at] of this.#freeAt) {
      if (at > now && this.#freeAt.size <= this.#maxKeys) return;
      this.#freeAt.delete(oldest);
    }
  }
}
