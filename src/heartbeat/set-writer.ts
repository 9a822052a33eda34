import { type BackoffOptions, backoffDelayMs } from "../lib/backoff.js";
import type { BatchOutcome } from "../lib/batcher.js";
import { type Database, isTransient, toDatabaseError } from "../store/database.js";
import type { Transaction } from "../store/transaction.js";

const RETRY_BACKOFF: BackoffOptions = { baseMs: 50, maxMs: 2_000 };
/** How long a batch is tried again while the database is away; then its streams are told UNAVAILABLE. */
const RETRY_FOR_MS = 20_000;

/** How a set of items is written in one transaction. */
export interface SetWriterOptions<Item, Result> {
  database: Database;
  /** Writes all items within the transaction; the outcomes are in their order. */
  write: (tx: Transaction, items: readonly Item[]) => Promise<readonly BatchOutcome<Result>[]>;
  /** Told of each passing failure. */
  onRetry: (retry: { items: number; attempt: number; error: unknown }) => void;
}

/**
 * Writes a set of items in one transaction. Passing failures are retried. A set that fails for another reason is
 * halved until the item that is to blame stands, and fails, alone.
 */
export async function writeSet<Item, Result>(
  options: SetWriterOptions<Item, Result>,
  items: readonly Item[],
): Promise<readonly BatchOutcome<Result>[]> {
  try {
    return await writeWithRetry(options, items);
  } catch (error) {
    if (items.length === 1 || isTransient(error)) return items.map(() => ({ failed: toDatabaseError(error) }));
    const middle = Math.ceil(items.length / 2);
    const first = await writeSet(options, items.slice(0, middle));
    return [...first, ...(await writeSet(options, items.slice(middle)))];
  }
}

async function writeWithRetry<Item, Result>(
  { database, write, onRetry }: SetWriterOptions<Item, Result>,
  items: readonly Item[],
): Promise<readonly BatchOutcome<Result>[]> {
  const giveUpAt = performance.now() + RETRY_FOR_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await database.transaction((tx) => write(tx, items));
    } catch (error) {
      if (!isTransient(error) || performance.now() > giveUpAt) throw error;
      onRetry({ items: items.length, attempt, error });
      await new Promise((resolve) => setTimeout(resolve, backoffDelayMs(attempt, RETRY_BACKOFF)));
    }
  }
}
