import { type RetryOptions, retry } from "../../lib/async/retry.js";
import { sqlStateOf } from "./connection-error.js";

const SERIALIZATION_FAILURE = "40001";
const DEADLOCK = "40P01";

/** Two that were in each other's way: one of them was rolled back, and gets through when it comes again. */
const RETRY: RetryOptions = {
  isPassing: (error) => [SERIALIZATION_FAILURE, DEADLOCK].includes(sqlStateOf(error) ?? ""),
  attempts: 5,
  backoff: { baseMs: 20, maxMs: 200 },
};

/**
 * Does something on the database, and again after a deadlock or a serialization failure.
 *
 * @param work a whole transaction, or a statement outside of one: of a part the rest would be missing
 */
export function retryConflicts<T>(work: () => Promise<T>): Promise<T> {
  return retry(work, RETRY);
}
