export { type App, startApp } from "./app/app.js";
export { type Config, type ConfigResult, parseConfig } from "./config/config.js";
export { IngestError, type IngestErrorCode } from "./errors.js";
export { createLogger, type Logger, type LogLevel } from "./observe/logger.js";
export { migrateIngest, migrateStandalone } from "./store/migrations/migrate.js";
