/** How the waits between tries grow. */
export interface BackoffOptions {
  /** Upper bound of the first wait, in milliseconds. */
  baseMs: number;
  /** Upper bound of every wait, in milliseconds. */
  maxMs: number;
}

/**
 * The wait before a further try, in milliseconds: exponential, with jitter over its upper half, so that many who failed together do
 * not come back together.
 *
 * @param attempt how many tries have failed, from 1
 */
export function backoffDelayMs(attempt: number, { baseMs, maxMs }: BackoffOptions): number {
  const ceilingMs = Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  return ceilingMs / 2 + (Math.random() * ceilingMs) / 2;
}
