import type { PostgresUrl } from "../../lib/formats/postgres-url.js";

/** In what the service's connections to PostgreSQL differ; what they have in common is in {@link Connection}. */
export interface ConnectionPolicy {
  /** What it is for; `pg_stat_activity` shows it. */
  purpose?: string;
  /** How long one statement may take, in milliseconds. */
  statementTimeoutMs: number;
  /** How long a statement waits for a lock, in milliseconds; 0 for as long as it takes. */
  lockTimeoutMs?: number;
  /** How long a transaction may do nothing, in milliseconds, before the server ends it and gives its locks back. */
  idleInTransactionTimeoutMs?: number;
  /** How long connecting may take, in milliseconds; what the URL says, or 5 seconds, unless given. */
  connectTimeoutMs?: number;
}

/** How long a statement waits for a lock unless told otherwise: the agent behind it does not wait for ever. */
export const LOCK_TIMEOUT_MS = 5_000;
/** Who does nothing within a transaction is gone, and others wait for its locks. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;

/**
 * What every session is given. A database or a role may have been given other values, which the statements here are not
 * written for: dates in another order, arrays without nulls, a schema in front of `public`.
 */
const FIXED = {
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  TimeZone: "UTC",
  bytea_output: "hex",
  extra_float_digits: "1",
  array_nulls: "on",
  standard_conforming_strings: "on",
  default_transaction_isolation: "read committed",
  search_path: "public",
  // Listening is waiting.
  idle_session_timeout: "0",
  // A client whose power failed keeps no lock for two hours, and no place among the connections.
  tcp_keepalives_idle: "10",
  tcp_keepalives_interval: "5",
  tcp_keepalives_count: "3",
};

/** What a session is like once {@link APPLY_SETTINGS} ran. */
export interface SessionState {
  inRecovery: boolean;
  readOnly: boolean;
}

/** Applies settings, and tells what the server is; `$1` and `$2` are their names and values. */
export const APPLY_SETTINGS = `
  with applied as materialized (
    select count(set_config(name, value, false)) as settings from unnest($1::text[], $2::text[]) as s(name, value)
  )
  select settings, pg_is_in_recovery() as "inRecovery", current_setting('transaction_read_only')::bool as "readOnly"
  from applied`;

/**
 * The settings of a session. They are applied once it is connected, because PgBouncer refuses most start-up parameters;
 * also those of the URL's `options`, which come first: nothing in them switches a time-out off.
 */
export function settingsOf(policy: ConnectionPolicy, { options }: PostgresUrl): Record<string, string> {
  const { lockTimeoutMs = LOCK_TIMEOUT_MS, idleInTransactionTimeoutMs = IDLE_IN_TRANSACTION_TIMEOUT_MS } = policy;
  const own = {
    ...FIXED,
    statement_timeout: `${policy.statementTimeoutMs}ms`,
    lock_timeout: `${lockTimeoutMs}ms`,
    idle_in_transaction_session_timeout: `${idleInTransactionTimeoutMs}ms`,
  };
  const isOwn = (name: string) => Object.keys(own).some((known) => known.toLowerCase() === name);
  const others = "settings" in options ? Object.entries(options.settings).filter(([name]) => !isOwn(name)) : [];
  return { ...Object.fromEntries(others), ...own };
}
