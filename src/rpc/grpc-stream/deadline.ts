import { Code, ConnectError } from "@connectrpc/connect";

/** When a call is to be over. */
export interface Deadline {
  /** What is left, in milliseconds; undefined for a call that has none. */
  remainingMs: () => number | undefined;
  clear(): void;
}

const NONE: Deadline = { remainingMs: () => undefined, clear: () => {} };

/** @param onPassed is told the error that the call ends with; at once when there is no time at all */
export function startDeadline(timeoutMs: number | undefined, onPassed: (error: ConnectError) => void): Deadline {
  if (timeoutMs === undefined) return NONE;
  const endsAt = performance.now() + timeoutMs;
  const pass = () => onPassed(new ConnectError("the operation timed out", Code.DeadlineExceeded));
  const timer = timeoutMs > 0 ? setTimeout(pass, timeoutMs) : undefined;
  if (timer === undefined) pass();
  return { remainingMs: () => endsAt - performance.now(), clear: () => clearTimeout(timer) };
}
