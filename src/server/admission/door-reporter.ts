import { SummedUp } from "../../lib/async/summed-up.js";
import type { Logger } from "../../observe/logger.js";
import type { Metrics } from "../../observe/metrics.js";

const PERIOD_MS = 60_000;
/** Reasons there are. */
const MAX_KEYS = 10;

/** Tells the log and the metrics of connections that were not let in: of each reason at once, then once a minute. */
export function createDoorReporter({ logger, metrics }: { logger: Logger; metrics: Pick<Metrics, "turnedAway"> }) {
  const summed = new SummedUp<string>({
    tell: (reason, remoteAddress, connections) =>
      logger.warn({ reason, connections, remoteAddress }, "connections were turned away"),
    // One of them, as an example.
    add: (_, newest) => newest,
    periodMs: PERIOD_MS,
    maxKeys: MAX_KEYS,
    otherKey: "others",
  });
  return ({ remoteAddress, reason }: { remoteAddress: string; reason: string }): void => {
    metrics.turnedAway.inc({ reason });
    summed.count(reason, remoteAddress);
  };
}
