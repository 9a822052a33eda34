import type { Lifetime } from "../../lib/lifetime.js";
import type { Logger } from "../../observe/logger.js";
import { RefusalMeter } from "../../rpc/refusals/refusal-meter.js";
import { RefusalRecorder } from "../../rpc/refusals/refusal-recorder.js";
import type { Queryable } from "../../store/database.js";
import type { AppTiming } from "../app-timing.js";

/** Opens what is kept of refusals, and what sums them up in the log. */
export function openRefusals({
  db,
  logger,
  timing,
  lifetime,
}: {
  db: Queryable;
  logger: Logger;
  timing: AppTiming;
  lifetime: Lifetime;
}): { refusals: RefusalRecorder; refusalMeter: RefusalMeter } {
  const refusals = new RefusalRecorder({ db, logger });
  lifetime.register("record of refusals", () => refusals.close());
  const refusalMeter = new RefusalMeter({
    onSummary: (summary) => logger.warn(summary, "many calls were refused"),
    periodMs: timing.refusalSummaryMs,
  });
  lifetime.register("sum of refusals", () => refusalMeter.close());
  return { refusals, refusalMeter };
}
