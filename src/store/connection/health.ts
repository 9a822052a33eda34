import { type Connection, openConnection } from "./connection.js";
import { reasonOf } from "./connection-error.js";

/** How the database is looked at, in milliseconds. */
export interface DatabaseHealthTiming {
  probeIntervalMs: number;
  /** How long it may be away, or read-only: a restart takes less, and a balancer's probe must not see that. */
  unhealthyAfterMs: number;
}

const TIMING: DatabaseHealthTiming = { probeIntervalMs: 2_000, unhealthyAfterMs: 5_000 };
/** Between two looks while something is wrong. */
const RETRY_INTERVAL_MS = 500;
const NO_ANSWER = "the database has not answered";
const POLICY = { purpose: "health", connectTimeoutMs: 2_000, statementTimeoutMs: 1_000 };

/** What a {@link DatabaseHealth} needs. */
export interface DatabaseHealthOptions {
  url: string;
  /** Told that it is healthy again, and when it was first found not to be, as `performance.now()` tells it. */
  onRecovered?: (since: number) => void;
  timing?: Partial<DatabaseHealthTiming> | undefined;
}

/**
 * Watches whether the database answers and can be written to, on a connection of its own: neither a pool that is in use
 * nor a statement that hangs holds up the verdict.
 */
export class DatabaseHealth {
  readonly #timing: DatabaseHealthTiming;
  #connection: Connection | undefined;
  #lastGoodAt = performance.now();
  #problem: { what: string; why: string; since: number } | undefined;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: DatabaseHealthOptions) {
    this.#timing = { ...TIMING, ...options.timing };
    this.#schedule();
  }

  /** Why the database is not healthy; undefined when it was within the last seconds. */
  findProblem(): string | undefined {
    const badMs = performance.now() - this.#lastGoodAt;
    if (badMs < this.#timing.unhealthyAfterMs) return undefined;
    const { what, why } = this.#problem ?? { what: NO_ANSWER, why: "the look at it is not done" };
    return `${what} for ${Math.round(badMs / 1000)} s: ${why}`;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  #schedule(): void {
    const { probeIntervalMs } = this.#timing;
    const delayMs = this.#problem === undefined ? probeIntervalMs : Math.min(probeIntervalMs, RETRY_INTERVAL_MS);
    this.#timer = setTimeout(() => void this.#probe(), delayMs);
    this.#timer.unref();
  }

  async #probe(): Promise<void> {
    const askedAt = performance.now();
    try {
      if (await this.#isReadOnly())
        this.#setProblem(askedAt, "the database has been read-only", "a standby, or made so");
      else this.#setGood(askedAt);
    } catch (error) {
      this.#setProblem(askedAt, NO_ANSWER, reasonOf(error));
    }
    if (!this.#stopping.signal.aborted) this.#schedule();
  }

  async #isReadOnly(): Promise<boolean> {
    if (this.#connection?.brokenBy !== undefined) this.#connection = undefined;
    this.#connection ??= await openConnection(this.options.url, {
      ...POLICY,
      signal: this.#stopping.signal,
    });
    const { rows } = await this.#connection.query("select current_setting('transaction_read_only')::bool as yes");
    return rows[0]?.yes === true;
  }

  #setGood(askedAt: number): void {
    const past = this.findProblem() === undefined ? undefined : this.#problem;
    this.#lastGoodAt = askedAt;
    this.#problem = undefined;
    if (past !== undefined) this.options.onRecovered?.(past.since);
  }

  #setProblem(askedAt: number, what: string, why: string): void {
    this.#problem = { what, why, since: this.#problem?.since ?? askedAt };
    // The next look is at whoever answers then. A session stays read-only for as long as it lives.
    void this.#connection?.end();
    this.#connection = undefined;
  }
}
