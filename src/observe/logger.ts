import { type Logger, pino, stdTimeFunctions } from "pino";

export type { Logger };

/** The levels `INGEST_LOG_LEVEL` accepts, from most to least talkative. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;

/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Makes the service's logger: one JSON object a line on standard output, with RFC 3339 times. */
export function createLogger(level: LogLevel): Logger {
  return pino({
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}
