import { sql } from "drizzle-orm";
import type { Queryable } from "./database.js";

const PROBE_INTERVAL_MS = 2_000;
/** A restart of the database takes less; a probe of a load balancer must not see it. */
const UNHEALTHY_AFTER_MS = 5_000;

/** Watches whether the database answers. */
export class DatabaseHealth {
  #lastAnswerAt = performance.now();
  #lastError = "";
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(private readonly db: Queryable) {
    this.#schedule();
  }

  /** Why the database is not healthy; undefined when it answered within the last seconds. */
  findProblem(): string | undefined {
    const silentMs = performance.now() - this.#lastAnswerAt;
    if (silentMs < UNHEALTHY_AFTER_MS) return undefined;
    return `the database has not answered for ${Math.round(silentMs / 1000)} s${this.#lastError && `: ${this.#lastError}`}`;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    this.#timer = setTimeout(() => void this.#probe(), PROBE_INTERVAL_MS);
    this.#timer.unref();
  }

  async #probe(): Promise<void> {
    const askedAt = performance.now();
    try {
      await this.db.execute(sql`select 1`);
      this.#lastAnswerAt = askedAt;
      this.#lastError = "";
    } catch (error) {
      this.#lastError = describe(error);
    }
    if (!this.#stopped) this.#schedule();
  }
}

/** The driver's own message: the ORM's holds the query, which helps nobody here. */
function describe(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof AggregateError) return describe(cause.errors[0]);
  return cause instanceof Error ? cause.message : String(cause);
}
