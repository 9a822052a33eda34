import type { ExtractTablesWithRelations } from "drizzle-orm";
import { drizzle, type NodePgDatabase, type NodePgQueryResultHKT } from "drizzle-orm/node-postgres";
import type { PgDatabase } from "drizzle-orm/pg-core";
import pg from "pg";
import { IngestError } from "../errors.js";
import { type RetryOptions, retry } from "../lib/retry.js";
import type { Transaction } from "./transaction.js";

/** The pool, or a transaction on one of its connections: what every query function takes. */
export type Queryable = PgDatabase<
  NodePgQueryResultHKT,
  Record<string, never>,
  ExtractTablesWithRelations<Record<string, never>>
>;

/** A pool of connections to PostgreSQL. */
export interface Database {
  readonly db: Queryable;
  /**
   * Runs one transaction; it is rolled back when `work` rejects. After a deadlock or a serialization failure it runs
   * again: what `work` does outside of the transaction has to bear that.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** How a pool is opened. */
export interface DatabaseOptions {
  url: string;
  /** Most connections. */
  maxConnections?: number;
  /** Told when an idle connection breaks; the pool replaces it by itself. */
  onIdleError?: (error: Error) => void;
}

/** Opens a pool; connections are made when they are needed. */
export function openDatabase({ url, maxConnections = 10, onIdleError = () => {} }: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    // Covers the wait for a connection that is in use, too: a storm of registrations takes longer than it takes to connect.
    connectionTimeoutMillis: 15_000,
    application_name: "ct-ops-ingest",
    // A lock that somebody holds for longer must not hold a connection, and the agent behind it, for ever.
    options: "-c lock_timeout=5s -c statement_timeout=30s",
  });
  let isClosing = false;
  pool.on("error", (error) => {
    // A database that stops together with the service may be faster than the goodbye.
    if (!isClosing) onIdleError(error);
  });
  // Between two statements of a transaction nobody else listens, and the process would end; the next statement fails.
  pool.on("connect", (client) => client.on("error", () => {}));
  const db: NodePgDatabase = drizzle(pool);
  return {
    db,
    transaction: (work) => retry(() => db.transaction(work), CONFLICT_RETRY),
    close: () => {
      isClosing = true;
      return pool.end();
    },
  };
}

/** Two transactions that were in each other's way: one of them was rolled back, and gets through when it comes again. */
const CONFLICT_RETRY: RetryOptions = {
  isPassing: (error) => /^(40001|40P01)$/.test(sqlState(error) ?? ""),
  attempts: 5,
  backoff: { baseMs: 20, maxMs: 200 },
};

/** Whether a failed statement may succeed when it is tried again: lost connection, deadlock, lock, shutdown or maintenance. */
export function isTransient(error: unknown): boolean {
  const code = sqlState(error);
  if (code === undefined) return isConnectionError(error);
  return /^(08|53|57P|40|55000|55P03|57014|58)/.test(code);
}

const FOREIGN_KEY_VIOLATION = "23503";

/**
 * Turns an error of the database into one that is safe to tell: passing, and never about the caller's identity. What a
 * row refers to can be deleted by the web app at any moment: whoever tries again is told what is gone.
 */
export function toDatabaseError(cause: unknown): unknown {
  return isTransient(cause) || sqlState(cause) === FOREIGN_KEY_VIOLATION
    ? new IngestError("database_unavailable", "the database does not answer at the moment; try again", { cause })
    : cause;
}

/** The SQLSTATE of a statement that failed for the values it was given (class 22, 23); undefined for any other failure. */
export function findUnstorable(error: unknown): string | undefined {
  const state = sqlState(error);
  return state !== undefined && /^2[23]/.test(state) ? state : undefined;
}

/** Whether a statement failed for a table, or a schema, that is not there. */
export function isMissingRelation(error: unknown): boolean {
  return /^(42P01|3F000)$/.test(sqlState(error) ?? "");
}

function databaseErrors(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let e = error; e instanceof Error && chain.length < 5; e = e.cause) {
    chain.push(e);
    if (e instanceof AggregateError) chain.push(...e.errors);
  }
  return chain;
}

function sqlState(error: unknown): string | undefined {
  return databaseErrors(error).find((e): e is pg.DatabaseError => e instanceof pg.DatabaseError)?.code;
}

const CONNECTION_ERRORS = /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ENOENT|EHOSTUNREACH|ENETUNREACH/;
const CONNECTION_MESSAGES = /Connection terminated|timeout exceeded when trying to connect|Client has encountered/;

function isConnectionError(error: unknown): boolean {
  return databaseErrors(error).some(
    (e) =>
      e instanceof Error &&
      (CONNECTION_ERRORS.test(String((e as NodeJS.ErrnoException).code)) || CONNECTION_MESSAGES.test(e.message)),
  );
}
