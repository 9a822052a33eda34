import { startApp as startAppWith } from "./app/app.js";
import type { App } from "./app/running-app.js";
import type { Config } from "./config/config.js";
import type { Logger } from "./observe/logger.js";

export type { App } from "./app/running-app.js";
export { type Config, type ConfigResult, parseConfig } from "./config/config.js";
export { IngestError, type IngestErrorCode } from "./errors.js";
export { createLogger, type Logger, type LogLevel } from "./observe/logger.js";
export { migrateIngest, migrateStandalone } from "./store/migrations/migrate.js";

/**
 * Starts the service in this process. What tests can give besides is not declared here: its types come from packages whose
 * own declarations do not compile.
 *
 * @throws IngestError `unusable_configuration`, `platform_tables_missing`
 */
export const startApp: (config: Config, logger: Logger) => Promise<App> = startAppWith;
