import { setTimeout as delay } from "node:timers/promises";
import { type BackoffOptions, backoffDelayMs } from "./backoff.js";

/** When, and how often, something is tried again. */
export interface RetryOptions {
  /** Whether what it failed with may be over with the next try. */
  isPassing: (error: unknown) => boolean;
  /** How often it is tried in all. */
  attempts: number;
  backoff: BackoffOptions;
}

/** Does something that may be done twice, again if need be; what it failed with last is what this fails with. */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= options.attempts || !options.isPassing(error)) throw error;
      await delay(backoffDelayMs(attempt, options.backoff));
    }
  }
}
