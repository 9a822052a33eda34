import pg from "pg";
import { retryConflicts } from "./conflicts.js";
import { Connection } from "./connection.js";
import { ConnectionError } from "./connection-error.js";
import type { ConnectionPolicy } from "./connection-policy.js";
import type { Endpoints } from "./endpoints.js";

/**
 * How long one waits for a connection that is in use: a storm of registrations, which wait for each other's locks,
 * takes longer than it takes to connect.
 */
const ACQUIRE_TIMEOUT_MS = 15_000;
/** What pg's pool says then. */
const ALL_IN_USE = "timeout exceeded when trying to connect";
/** How long closing waits for what is under way. */
const CLOSE_TIMEOUT_MS = 3_000;

/** A connection that is given back. */
export type PooledConnection = Connection & pg.PoolClient;

/** A pool of {@link Connection}s. */
export class ConnectionPool extends pg.Pool {
  readonly #connections: Set<Connection>;
  #closed: Promise<void> | undefined;

  constructor(
    private readonly endpoints: Endpoints,
    policy: ConnectionPolicy,
    maxConnections: number,
  ) {
    const connections = new Set<Connection>();
    super({
      max: maxConnections,
      connectionTimeoutMillis: ACQUIRE_TIMEOUT_MS,
      Client: class extends Connection {
        constructor() {
          // Those that are idle are dead as well, and the next who takes one would wait as long.
          super(endpoints, policy, (since) => cutSilent(connections, since, "another connection got no answer"));
          connections.add(this);
          this.once("end", () => connections.delete(this));
        }
      },
    });
    this.#connections = connections;
    // What is asked of the pool itself is a statement of its own, never a part of a transaction.
    this.query = ((...query: unknown[]) =>
      retryConflicts(async () => Reflect.apply(super.query, this, query))) as pg.Pool["query"];
  }

  override connect(): Promise<PooledConnection>;
  override connect(callback: Parameters<pg.Pool["connect"]>[0]): void;
  override connect(callback?: Parameters<pg.Pool["connect"]>[0]): Promise<PooledConnection> | undefined {
    const acquired = this.endpoints.connect(() => this.#acquire());
    if (callback === undefined) return acquired;
    acquired.then(
      (client) => callback(undefined, client, client.release),
      (error) => callback(error, undefined, () => {}),
    );
    return undefined;
  }

  async #acquire(): Promise<PooledConnection> {
    const { current } = this.endpoints;
    try {
      // What the pool makes of the class that it was given.
      return (await super.connect()) as PooledConnection;
    } catch (error) {
      if (!(error instanceof Error) || error.message !== ALL_IN_USE) throw error;
      throw new ConnectionError(current, new Error(`all ${this.options.max} connections are in use`));
    }
  }

  /** Cuts every connection of which nothing was heard since then, as `performance.now()` tells it. */
  cutSilent(since: number): void {
    cutSilent(this.#connections, since, "nothing was heard before the database answered again");
  }

  /** Waits a moment for what is under way, and then no longer. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const timer = setTimeout(() => cutSilent(this.#connections, Number.POSITIVE_INFINITY, "closing"), CLOSE_TIMEOUT_MS);
    await this.end();
    clearTimeout(timer);
  }
}

function cutSilent(connections: Iterable<Connection>, since: number, reason: string): void {
  for (const connection of connections) {
    if (connection.lastHeardAt < since) connection.cut(new ConnectionError(connection.endpoint, new Error(reason)));
  }
}
