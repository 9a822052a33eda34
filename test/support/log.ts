import { type Logger, pino } from "pino";

/** A line of the log. */
export type LogLine = Record<string, unknown> & { level: string; msg: string };

/** A logger, and what it wrote. */
export function createTestLog(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const options = { level: "info", base: null, formatters: { level: (label: string) => ({ level: label }) } };
  return { logger: pino(options, { write: (line: string) => void lines.push(JSON.parse(line)) }), lines };
}
