import { type RetryOptions, retry } from "../../lib/async/retry.js";
import { causesOf, sqlStateOf } from "./connection-error.js";

const SERIALIZATION_FAILURE = "40001";
const DEADLOCK = "40P01";
const UNKNOWN_STATEMENT = "26000";
const NOT_SUPPORTED = "0A000";

/**
 * Whether a statement that the server was to keep is not there any more, or gives other columns than before: somebody
 * reset the session, or altered a table.
 */
export function isStaleStatement(error: unknown): boolean {
  const state = sqlStateOf(error);
  // By what failed it, since the message is in the server's language.
  const isOutdated = causesOf(error).some((e) => "routine" in e && e.routine === "RevalidateCachedQuery");
  return state === UNKNOWN_STATEMENT || (state === NOT_SUPPORTED && isOutdated);
}

/**
 * Two that were in each other's way: one of them was rolled back, and gets through when it comes again. So does what had
 * a statement that was stale.
 */
const RETRY: RetryOptions = {
  isPassing: (error) => [SERIALIZATION_FAILURE, DEADLOCK].includes(sqlStateOf(error) ?? "") || isStaleStatement(error),
  attempts: 5,
  backoff: { baseMs: 20, maxMs: 200 },
};

/**
 * Does something on the database, and again after a deadlock, a serialization failure or a stale statement.
 *
 * @param work a whole transaction, or a statement outside of one: of a part the rest would be missing
 */
export function retryConflicts<T>(work: () => Promise<T>): Promise<T> {
  return retry(work, RETRY);
}
