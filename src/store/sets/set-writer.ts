import { IngestError } from "../../errors.js";
import { type BackoffOptions, backoffDelayMs } from "../../lib/async/backoff.js";
import type { BatchOutcome } from "../../lib/async/batcher.js";
import { findUnstorable, isAboutStatement, isTransient, toDatabaseError } from "../database.js";

const RETRY_BACKOFF: BackoffOptions = { baseMs: 50, maxMs: 2_000 };
/** How long the database may be away before whoever waits for it is told UNAVAILABLE. */
export const OUTAGE_LIMIT_MS = 60_000;

/** How sets of items are written, each in one transaction. */
export interface SetWriterOptions<Item, Result> {
  /** Writes all items, in one transaction; the outcomes are in their order. It may be called again with the same. */
  write: (items: readonly Item[]) => Promise<readonly BatchOutcome<Result>[]>;
  /** Told of each passing failure. */
  onRetry: (retry: { items: number; attempt: number; error: unknown }) => void;
  /** How long passing failures in a row are tried again, in milliseconds; a minute unless told otherwise. */
  retryForMs?: number | undefined;
}

/**
 * Writes sets of items, each in one transaction. Passing failures are tried again; how long the database has been away
 * counts over all sets, so that those that waited behind one that was given up do not wait as long again. A set that fails
 * for another reason is halved until the item that is to blame stands, and fails, alone; where none can be, it fails as one.
 */
export class SetWriter<Item, Result> {
  /** When the first of the failures in a row began. */
  #failingSince: number | undefined;

  constructor(private readonly options: SetWriterOptions<Item, Result>) {}

  /** Never rejects: what an item failed with is its outcome. */
  async write(items: readonly Item[]): Promise<readonly BatchOutcome<Result>[]> {
    try {
      return await this.#writeWithRetry(items);
    } catch (error) {
      if (items.length === 1 || isTransient(error) || isAboutStatement(error)) {
        const failed = toItemError(error);
        return items.map(() => ({ failed }));
      }
      const middle = Math.ceil(items.length / 2);
      const first = await this.write(items.slice(0, middle));
      return [...first, ...(await this.write(items.slice(middle)))];
    }
  }

  async #writeWithRetry(items: readonly Item[]): Promise<readonly BatchOutcome<Result>[]> {
    const { write, onRetry, retryForMs = OUTAGE_LIMIT_MS } = this.options;
    for (let attempt = 1; ; attempt += 1) {
      const startedAt = performance.now();
      try {
        const outcomes = await write(items);
        this.#failingSince = undefined;
        return outcomes;
      } catch (error) {
        if (!isTransient(error)) throw error;
        this.#failingSince ??= startedAt;
        // By when the attempt began: one that hung in a connection that is gone says nothing of the database since.
        if (startedAt - this.#failingSince >= retryForMs) throw error;
        onRetry({ items: items.length, attempt, error });
        await new Promise((resolve) => setTimeout(resolve, backoffDelayMs(attempt, RETRY_BACKOFF)));
      }
    }
  }
}

function toItemError(error: unknown): unknown {
  const told = toDatabaseError(error);
  const state = told === error ? findUnstorable(error) : undefined;
  if (state === undefined) return told;
  return new IngestError("not_storable", `the database refuses the values that were sent (SQLSTATE ${state})`, {
    cause: error,
  });
}
