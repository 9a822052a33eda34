import type { Config } from "../../config/config.js";
import { shareRunning } from "../../lib/async/share-running.js";
import type { Lifetime } from "../../lib/lifetime.js";
import { DoorMetrics } from "../../observe/door-metrics.js";
import type { Logger } from "../../observe/logger.js";
import { renderMetrics } from "../../observe/metrics.js";
import { VERSION } from "../../observe/version.js";
import { CORS_HEADERS } from "../../rpc/cors-headers.js";
import { createDoorReporter } from "../../server/admission/door-reporter.js";
import { startPlainListener } from "../../server/plain-listener.js";
import type { AppTiming } from "../app-timing.js";
import type { InstanceView } from "../instance.js";

/**
 * Opens the plain listener.
 *
 * @param options.view what it answers with
 * @returns its port
 */
export async function openPlainListener({
  config,
  lifetime,
  logger,
  view,
  timing = {},
}: {
  config: Config;
  lifetime: Lifetime;
  logger: Logger;
  view: InstanceView;
  timing?: AppTiming;
}): Promise<number> {
  const metrics = new DoorMetrics();
  const open = () =>
    startPlainListener({
      port: config.httpPort,
      address: config.httpAddress,
      cors: { isAllowed: config.isOriginAllowed, ...CORS_HEADERS, methods: ["GET", "HEAD"] },
      ...view,
      // Rendering takes milliseconds, and asks all workers: of many who ask at once each gets the same.
      renderMetrics: shareRunning(async () => renderMetrics([...(await view.metrics()), await metrics.snapshot()])),
      version: VERSION,
      logger,
      onTurnedAway: createDoorReporter({ port: "plain", logger, metrics }),
      requests: { ...config.limits.requests, ...timing.requests },
      limits: config.limits.plain,
    });
  const listener = await lifetime.open("plain listener", open, (opened) => opened.close());
  return listener.port;
}
