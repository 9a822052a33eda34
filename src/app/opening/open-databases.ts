import type { Config } from "../../config/config.js";
import type { Lifetime } from "../../lib/lifetime.js";
import type { Logger } from "../../observe/logger.js";
import { DatabaseHealth } from "../../store/connection/health.js";
import { type Database, openDatabase } from "../../store/database.js";
import type { AppTiming } from "../app-timing.js";

/** Of the database connections, how many are for streams alone. */
const STREAMS_SHARE = 1 / 3;
/** One statement of streams holds up the heartbeats of all agents. */
const STREAM_STATEMENT_TIMEOUT_MS = 10_000;

/** The database connections of a service. */
export interface Databases {
  database: Database;
  /** For streams, which wait for nothing that others hold. */
  streamDatabase: Database;
  health: DatabaseHealth;
  /** Reports that an idle connection broke. */
  onIdleError: (error: Error) => void;
}

/** Opens the pools, and the connection that tells whether the database answers. */
export function openDatabases({
  config,
  logger,
  timing,
  lifetime,
}: {
  config: Config;
  logger: Logger;
  timing: AppTiming;
  lifetime: Lifetime;
}): Databases {
  const onIdleError = (error: Error) => logger.warn({ err: error }, "a database connection broke");
  const streamConnections = Math.floor(config.databasePoolSize * STREAMS_SHARE);
  const database = openDatabase({
    url: config.databaseUrl,
    maxConnections: config.databasePoolSize - streamConnections,
    onIdleError,
  });
  lifetime.register("database", () => database.close());
  // Registrations wait for each other's locks: streams have connections that those cannot take.
  const streamDatabase = openDatabase({
    url: config.databaseUrl,
    maxConnections: streamConnections,
    purpose: "streams",
    statementTimeoutMs: STREAM_STATEMENT_TIMEOUT_MS,
    ...timing.streamDatabase,
    onIdleError,
  });
  lifetime.register("database of streams", () => streamDatabase.close());
  const health = new DatabaseHealth({
    url: config.databaseUrl,
    onRecovered: (since) => {
      database.cutSilent(since);
      streamDatabase.cutSilent(since);
    },
    timing: timing.databaseHealth,
  });
  lifetime.register("database health", () => health.stop());

  return { database, streamDatabase, health, onIdleError };
}
