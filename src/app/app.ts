import type { Config } from "../config/config.js";
import { createId } from "../lib/ids.js";
import type { Lifetime } from "../lib/lifetime.js";
import type { Logger } from "../observe/logger.js";
import type { AppTiming } from "./app-timing.js";
import { createLifetime } from "./create-lifetime.js";
import { type InstanceView, startInstance } from "./instance.js";
import { openPlainListener } from "./opening/open-plain-listener.js";
import type { App } from "./running-app.js";

/** How an app is started, where not as usual. */
export interface AppOptions {
  timing?: AppTiming | undefined;
  /** What the app is opened with, and closed by; one of its own unless told. */
  lifetime?: Lifetime;
}

/**
 * Starts the service in this process: an instance, and the plain listener that speaks for it.
 *
 * @throws IngestError `unusable_configuration`, `platform_tables_missing`
 * @throws StartAborted
 */
export async function startApp(config: Config, logger: Logger, options: AppOptions = {}): Promise<App> {
  const { timing = {}, lifetime = createLifetime(logger, config.stopTimeoutMs) } = options;
  let httpPort = 0;
  const show = async (view: InstanceView) => {
    httpPort = await openPlainListener({ config, lifetime, logger, view, timing });
  };
  const grpcPort = await startInstance(config, logger, { timing, lifetime, instanceId: createId(), show });
  logger.info({ grpcPort, httpPort }, "ready");
  return { grpcPort, httpPort, close: async () => void (await lifetime.stop()) };
}
