import { readFile } from "node:fs/promises";
import type { Logger } from "../../observe/logger.js";

/** Where Linux says it; Node has raised it as far as it may go. */
const LIMITS = "/proc/self/limits";
/** Files, pipes, and what Node opens for itself. */
const OWN = 128;

/**
 * Lets in no more connections than there are descriptors for, and warns when these are fewer than was asked for. What is
 * left is for the database, the plain port and files: where connections take all of them, keys cannot be read, the database
 * is lost, and whoever comes is hung up on without a word.
 *
 * @param options.reserve connections of other kinds that may be open as well
 */
export async function boundByDescriptors<L extends { maxConnections: number }>(
  limits: L,
  { reserve, logger }: { reserve: number; logger: Logger },
): Promise<L> {
  const text = await readFile(LIMITS, "utf8").catch(() => "");
  const [, found] = /^Max open files +(\d+)/m.exec(text) ?? [];
  const descriptors = found === undefined ? Number.POSITIVE_INFINITY : Number(found);
  // Where there are too few for all of it, half of them are for agents.
  const left = Math.max(descriptors - reserve - OWN, Math.floor(descriptors / 2));
  const { maxConnections } = limits;
  if (left >= maxConnections) return limits;
  logger.warn(
    { descriptors, maxConnections, allowed: left },
    "fewer descriptors may be open than INGEST_MAX_CONNECTIONS needs",
  );
  return { ...limits, maxConnections: left };
}
