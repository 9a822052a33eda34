/** What a {@link Calm} is told. */
export interface CalmOptions {
  /** How long agents may take to come back, in milliseconds: what released agents wait at most between two attempts. */
  comeBackMs: number;
  /** How long the database may be away before {@link onLongOutage}, in milliseconds; for ever unless told. */
  outageLimitMs?: number;
  /** Told when the database was found away, and when it is back. */
  onChange?: (change: { isAway: boolean }) => void;
  /** Told once of each outage that lasts too long for anybody to wait for its end. */
  onLongOutage?: () => void;
}

/**
 * Knows since when this instance has been able to hear agents and to write what they say. While the database was away, or
 * this process stood still, agents could not come back: whoever was not heard meanwhile is given the time for it once more
 * before anybody calls it offline.
 */
export class Calm {
  #awaySince: number | undefined;
  /** When the trouble was seen last: an answer to a question from before says nothing. */
  #lastSeenAt = Number.NEGATIVE_INFINITY;
  #since = Number.NEGATIVE_INFINITY;
  #patience: NodeJS.Timeout | undefined;

  constructor(private readonly options: CalmOptions) {}

  /** Whether the database is away, as far as is known. */
  get isAway(): boolean {
    return this.#awaySince !== undefined;
  }

  /** Since when agents could be heard and written, as `performance.now()` tells it; infinite while they cannot. */
  get since(): number {
    return this.isAway ? Number.POSITIVE_INFINITY : this.#since;
  }

  /** Somebody could not reach the database. */
  reportTrouble(now = performance.now()): void {
    this.#lastSeenAt = now;
    if (this.#awaySince !== undefined) return;
    this.#awaySince = now;
    const { outageLimitMs, onLongOutage } = this.options;
    if (outageLimitMs !== undefined) this.#patience = setTimeout(() => onLongOutage?.(), outageLimitMs).unref();
    this.options.onChange?.({ isAway: true });
  }

  /** The database answered what it was asked at this time. */
  reportAnswer(askedAt: number, now = performance.now()): void {
    if (this.#awaySince === undefined || askedAt < this.#lastSeenAt) return;
    this.#awaySince = undefined;
    this.#since = now;
    clearTimeout(this.#patience);
    this.options.onChange?.({ isAway: false });
  }

  /** This process stood still, and heard nobody, until now. */
  reportStall(now = performance.now()): void {
    this.#since = Math.max(this.#since, now);
  }

  /**
   * Before when an agent that is gone since then may not be marked offline, as `performance.now()` tells it; infinite while
   * the database is away.
   */
  earliestFor(goneSince: number): number {
    if (this.isAway) return Number.POSITIVE_INFINITY;
    return this.#since > goneSince ? this.#since + this.options.comeBackMs : Number.NEGATIVE_INFINITY;
  }
}
