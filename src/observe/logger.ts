import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";
import { standardOutput } from "./log-destination.js";

export type { Logger };

/** The levels `INGEST_LOG_LEVEL` accepts, from most to least talkative. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;

/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Makes the service's logger: one JSON object a line, with RFC 3339 times.
 *
 * @param destination standard output unless told otherwise
 */
export function createLogger(level: LogLevel, destination: DestinationStream = standardOutput()): Logger {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: (error: unknown) => serializeError(error) },
  };
  return pino(options, destination);
}

/** How many causes of an error are logged. */
const MAX_CAUSES = 5;

/**
 * An error with its causes, by the fields that are safe to log. The ORM's message, and so its stack, holds all that the
 * statement was to write: keys of agents, sealed ones of CAs, a megabyte of metrics. PostgreSQL's detail holds rows.
 */
function serializeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const message = "query" in error && "params" in error ? `failed query: ${error.query}` : error.message;
  return {
    type: error.name,
    message,
    ...("code" in error && { code: error.code }),
    // The stack begins with the message as it was.
    stack: error.stack?.slice(error.stack.indexOf(error.message) + error.message.length),
    ...(error.cause !== undefined && depth < MAX_CAUSES && { cause: serializeError(error.cause, depth + 1) }),
  };
}
