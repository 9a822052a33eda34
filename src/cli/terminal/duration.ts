import { InvalidArgumentError } from "commander";
import { parseDurationMs } from "../../lib/formats/duration.js";

/**
 * Reads a duration given to a command, in milliseconds.
 *
 * @throws InvalidArgumentError for anything that is none, and for 0
 */
export function readDurationMs(text: string): number {
  const durationMs = parseDurationMs(text);
  if (!durationMs) throw new InvalidArgumentError("expected a duration such as 500ms, 30s, 5m, 12h or 30d");
  return durationMs;
}
