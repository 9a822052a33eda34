import { type ExtractTablesWithRelations, sql } from "drizzle-orm";
import { drizzle, type NodePgQueryResultHKT, NodePgSession, NodePgTransaction } from "drizzle-orm/node-postgres";
import { type PgDatabase, PgDialect } from "drizzle-orm/pg-core";
import { databaseUnavailable } from "../errors.js";
import { isStaleStatement, retryConflicts } from "./connection/conflicts.js";
import type { Connection } from "./connection/connection.js";
import { ConnectionError, causesOf, sqlStateOf } from "./connection/connection-error.js";
import type { ConnectionPolicy } from "./connection/connection-policy.js";
import { ConnectionPool } from "./connection/connection-pool.js";
import { Endpoints } from "./connection/endpoints.js";
import type { Transaction } from "./transaction.js";

/** The pool, or a transaction on one of its connections: what every query function takes. */
export type Queryable = PgDatabase<
  NodePgQueryResultHKT,
  Record<string, never>,
  ExtractTablesWithRelations<Record<string, never>>
>;

/** A pool of connections to PostgreSQL. */
export interface Database {
  /** Runs single statements, each of them again after a deadlock or a serialization failure. */
  readonly db: Queryable;
  /**
   * Runs one transaction; it is rolled back when `work` rejects. After a deadlock or a serialization failure it runs
   * again: what `work` does outside of the transaction has to bear that.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** Cuts the connections of which nothing was heard since then, as `performance.now()` tells it: they are dead. */
  cutSilent(since: number): void;
  close(): Promise<void>;
}

/** How one transaction is run. */
export interface TransactionOptions {
  /** How long one statement may take, in milliseconds; as long as elsewhere unless given. */
  statementTimeoutMs?: number;
  /**
   * Each connection has the server keep its statements, and their plans: for what runs many times a second and finds its
   * rows by their keys.
   */
  keepsStatements?: boolean | undefined;
}

/** How a pool is opened. */
export interface DatabaseOptions extends Partial<ConnectionPolicy> {
  url: string;
  /** Most connections. */
  maxConnections?: number;
  /** Told when an idle connection breaks; the pool replaces it by itself. */
  onIdleError?: (error: Error) => void;
}

const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * Opens a pool; connections are made when they are needed.
 *
 * @throws IngestError `unusable_configuration` when the URL cannot be understood
 */
export function openDatabase(options: DatabaseOptions): Database {
  const { url, maxConnections = 10, onIdleError = () => {}, ...policy } = options;
  const pool = new ConnectionPool(
    new Endpoints(url),
    { statementTimeoutMs: STATEMENT_TIMEOUT_MS, ...policy },
    maxConnections,
  );
  let isClosing = false;
  pool.on("error", (error) => {
    // A database that stops together with the service may be faster than the goodbye.
    if (!isClosing) onIdleError(error);
  });
  return {
    db: drizzle(pool),
    transaction: (work, options) => {
      let { keepsStatements } = options ?? {};
      return retryConflicts(async () => {
        try {
          return await runTransaction(pool, work, { ...options, keepsStatements });
        } catch (error) {
          // Other connections may keep the same.
          if (isStaleStatement(error)) keepsStatements = false;
          throw error;
        }
      });
    },
    cutSilent: (since) => pool.cutSilent(since),
    close: () => {
      isClosing = true;
      return pool.close();
    },
  };
}

/**
 * How a transaction begins whose statements are kept. Left to itself the server would plan those with few values each time,
 * and a plan that was made when there were ten hosts, and reads all of them, would be used for thousands, until the tables
 * are analysed. What an index cannot find costs so much then, before PostgreSQL 18, that it would be compiled.
 */
const BEGIN_KEPT = `begin;
  set local plan_cache_mode = force_generic_plan;
  set local enable_seqscan = off;
  set local jit = off`;

/** Not drizzle's own: that one never gives a connection back on which `begin` failed, and cannot begin as {@link BEGIN_KEPT}. */
async function runTransaction<T>(
  pool: ConnectionPool,
  work: (tx: Transaction) => Promise<T>,
  { statementTimeoutMs, keepsStatements = false }: TransactionOptions,
): Promise<T> {
  const client = await pool.connect();
  const dialect = new PgDialect();
  const tx = new NodePgTransaction(dialect, new NodePgSession(client, dialect, undefined), undefined) as Transaction;
  let failure: { error: unknown } | undefined;
  try {
    await client.query(keepsStatements ? BEGIN_KEPT : "begin");
    let result: T;
    try {
      client.keepStatements(keepsStatements);
      if (statementTimeoutMs !== undefined) await limitStatements(tx, client, statementTimeoutMs);
      result = await work(tx);
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      client.limitStatements(undefined);
      client.keepStatements(false);
    }
    const { command } = await client.query("commit");
    // PostgreSQL answers so, and with no error, when a statement failed before.
    if (command === "ROLLBACK") throw new Error("the transaction was rolled back: a failure in it was passed over");
    client.release();
    return result;
  } catch (error) {
    // What fails here as well shows in the state of the transaction.
    await client.query("rollback").catch(() => {});
    // After a failover the old server only reads: the next connection finds the new one. A session that has lost its
    // statements has lost its settings with them.
    const isUseless = sqlStateOf(error) === READ_ONLY || isStaleStatement(error);
    client.release(isUseless || client.getTransactionStatus() !== "I");
    throw failure?.error ?? client.brokenBy ?? error;
  }
}

/** On both sides: a client that gives up earlier would cut what the server may go on with. */
async function limitStatements(tx: Transaction, client: Connection, statementTimeoutMs: number) {
  client.limitStatements(statementTimeoutMs);
  await tx.execute(sql`select set_config('statement_timeout', ${`${statementTimeoutMs}ms`}, true)`);
}

/** Whether a failed statement may succeed when it is tried again: lost connection, deadlock, lock, shutdown or maintenance. */
export function isTransient(error: unknown): boolean {
  if (causesOf(error).some((e) => e instanceof ConnectionError)) return true;
  const code = sqlStateOf(error);
  if (code === undefined) return isConnectionError(error);
  return TRANSIENT.test(code);
}

/**
 * Whether a failure, or what it came of, shows that nobody could write for a while: the database was away, or did not
 * answer in time. Unlike two that were in each other's way.
 */
export function isOutage(error: unknown): boolean {
  if (causesOf(error).some((e) => e instanceof ConnectionError)) return true;
  const code = sqlStateOf(error);
  return code === undefined ? isConnectionError(error) : OUTAGE.test(code);
}

const OUTAGE = /^(08|53|57|58|25006)/;
const READ_ONLY = "25006";
const TRANSIENT = new RegExp(`^(08|53|57P|40|${READ_ONLY}|25P03|55000|55P03|57014|58)`);
const FOREIGN_KEY_VIOLATION = "23503";

/**
 * Turns an error of the database into one that is safe to tell: passing, and never about the caller's identity. What a
 * row refers to can be deleted by the web app at any moment: whoever tries again is told what is gone.
 */
export function toDatabaseError(cause: unknown): unknown {
  return isTransient(cause) || sqlStateOf(cause) === FOREIGN_KEY_VIOLATION ? databaseUnavailable(cause) : cause;
}

/**
 * The SQLSTATE of a statement that failed for the values it was given, which cannot be stored or are too large for it (class
 * 22, 23, 54); undefined for any other failure.
 */
export function findUnstorable(error: unknown): string | undefined {
  const state = sqlStateOf(error);
  return state !== undefined && /^(2[23]|54)/.test(state) ? state : undefined;
}

/**
 * Whether a statement failed for something that is the same whatever values it is given: a table, column or function that is
 * not there, a right that is missing, a statement that is wrong.
 */
export function isAboutStatement(error: unknown): boolean {
  // A row that a policy of the table does not admit has the code of a missing right.
  const isAboutRow = causesOf(error).some((e) => "routine" in e && e.routine === "ExecWithCheckOptions");
  return !isAboutRow && /^(0A|25|26|28|3D|3F|42|F0)/.test(sqlStateOf(error) ?? "");
}

/** Whether a statement failed for a table, or a schema, that is not there. */
export function isMissingRelation(error: unknown): boolean {
  return /^(42P01|3F000)$/.test(sqlStateOf(error) ?? "");
}

const CONNECTION_ERRORS = /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ENOENT|EHOSTUNREACH|ENETUNREACH/;
const CONNECTION_MESSAGES = /Connection terminated|timeout exceeded when trying to connect|Client has encountered/;

function isConnectionError(error: unknown): boolean {
  return causesOf(error).some(
    (e) => CONNECTION_ERRORS.test(String((e as NodeJS.ErrnoException).code)) || CONNECTION_MESSAGES.test(e.message),
  );
}
