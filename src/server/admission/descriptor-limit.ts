import { readFile } from "node:fs/promises";
import type { Logger } from "../../observe/logger.js";

/** Where Linux says it; Node has raised it as far as it may go. */
const LIMITS = "/proc/self/limits";

/** Warns when the process may open fewer descriptors than connections are let in. */
export async function warnOfDescriptorLimit(maxConnections: number, logger: Logger): Promise<void> {
  const text = await readFile(LIMITS, "utf8").catch(() => "");
  const [, limit] = /^Max open files +(\d+)/m.exec(text) ?? [];
  if (limit === undefined || Number(limit) >= maxConnections) return;
  logger.warn(
    { descriptors: Number(limit), maxConnections },
    "fewer descriptors may be open than INGEST_MAX_CONNECTIONS needs",
  );
}
