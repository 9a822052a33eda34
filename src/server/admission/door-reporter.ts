import { SummedUp } from "../../lib/async/summed-up.js";
import type { DoorMetrics } from "../../observe/door-metrics.js";
import type { Logger } from "../../observe/logger.js";

const PERIOD_MS = 60_000;
/** Reasons there are. */
const MAX_KEYS = 20;

/** What {@link createDoorReporter} needs. */
export interface DoorReporterOptions {
  /** Of which port. */
  port: "agents" | "plain";
  logger: Logger;
  metrics: Pick<DoorMetrics, "turnedAway">;
}

/** Tells the log and the metrics of connections that were not let in, or kept: of each reason at once, then once a minute. */
export function createDoorReporter({ port, logger, metrics }: DoorReporterOptions) {
  const summed = new SummedUp<string>({
    tell: (reason, remoteAddress, connections) =>
      // What is only idle is nothing to look after.
      logger[reason === "idle" ? "info" : "warn"](
        { port, reason, connections, remoteAddress },
        "connections were turned away",
      ),
    // One of them, as an example.
    add: (_, newest) => newest,
    periodMs: PERIOD_MS,
    maxKeys: MAX_KEYS,
    otherKey: "others",
  });
  return ({ remoteAddress, reason }: { remoteAddress: string; reason: string }): void => {
    metrics.turnedAway.inc({ port, reason });
    summed.count(reason, remoteAddress);
  };
}
