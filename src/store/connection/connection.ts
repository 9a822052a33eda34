import pg from "pg";
import { ConnectionError } from "./connection-error.js";
import { APPLY_SETTINGS, type ConnectionPolicy, type SessionState, settingsOf } from "./connection-policy.js";
import { clientConfig, type Endpoint, Endpoints } from "./endpoints.js";
import { KeptStatements } from "./kept-statements.js";

const CONNECT_TIMEOUT_MS = 5_000;
/** The server ends a statement by itself; when nothing is heard of that for so long, nothing will be. */
const ANSWER_GRACE_MS = 1_000;
const KEEPALIVE_AFTER_MS = 10_000;
/** The goodbye of a connection that is dead is never answered, and would keep the process. */
const GOODBYE_TIMEOUT_MS = 1_000;

/**
 * A connection to PostgreSQL that waits for nothing for ever. A database host that loses power, or a network that is
 * cut, says nothing: the server's own time-outs do not help then, and TCP tries for a quarter of an hour. So connecting
 * and each statement have a deadline here as well, and a connection that misses it is cut.
 */
export class Connection extends pg.Client {
  #deadline: NodeJS.Timeout | undefined;
  #lastHeardAt = performance.now();
  #brokenBy: ConnectionError | undefined;
  #hasEnded = false;
  #statementTimeoutMs: number | undefined;
  readonly #kept = new KeptStatements();
  #keepsStatements = false;

  constructor(
    private readonly endpoints: Endpoints,
    private readonly policy: ConnectionPolicy,
    /** Told that an answer is overdue, and since when. */
    private readonly onSilence: (since: number) => void = () => {},
    readonly endpoint: Endpoint = endpoints.current,
  ) {
    super({
      ...clientConfig(endpoint, endpoints.url),
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
      // The deadline holds for all of it, not only until the server is ready.
      connectionTimeoutMillis: 0,
    });
    this.query = ((statement: string | pg.QueryConfig, ...query: unknown[]) => {
      this.#waitFor((this.#statementTimeoutMs ?? policy.statementTimeoutMs) + ANSWER_GRACE_MS);
      const isKept = this.#keepsStatements && typeof statement === "object";
      return Reflect.apply(super.query, this, [isKept ? this.#kept.keep(statement, query[0]) : statement, ...query]);
    }) as pg.Client["query"];
    // Without a listener the process ends. Whoever waits for an answer hears of it in any case.
    this.on("error", (error) => {
      this.#brokenBy ??= error instanceof ConnectionError ? error : new ConnectionError(endpoint, error);
    });
    this.on("drain", () => this.#stopWaiting());
    this.on("end", () => {
      this.#hasEnded = true;
      this.#stopWaiting();
    });
  }

  /** When the server was last heard, as `performance.now()` tells it. */
  get lastHeardAt(): number {
    return this.#lastHeardAt;
  }

  /** Why it can be used no more. */
  get brokenBy(): ConnectionError | undefined {
    return this.#brokenBy;
  }

  /**
   * @throws ConnectionError
   */
  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error | null) => void): void;
  override connect(callback?: (error: Error | null) => void): Promise<pg.Client> | undefined {
    const connected = this.#open();
    if (callback === undefined) return connected;
    connected.then(() => callback(null), callback);
    return undefined;
  }

  override end(): Promise<void>;
  override end(callback: (error: Error) => void): void;
  override end(callback?: (error: Error) => void): Promise<void> | undefined {
    setTimeout(() => this.connection.stream.destroy(), GOODBYE_TIMEOUT_MS).unref();
    return callback === undefined ? super.end() : void super.end(callback);
  }

  /** Waits so long for each statement from here on, in milliseconds; as the policy says when undefined. */
  limitStatements(timeoutMs: number | undefined): void {
    this.#statementTimeoutMs = timeoutMs;
  }

  /** Has the server keep each statement from here on, or no more. */
  keepStatements(keep: boolean): void {
    this.#keepsStatements = keep;
  }

  /** Ends it at once; what is under way fails with this error. */
  cut(error: Error): void {
    this.connection.stream.destroy(error);
  }

  /** What is said before the server knows whom it speaks with; pg calls it. A pooler refuses anything more. */
  protected getStartupConf(): Record<string, string | undefined> {
    const { options, applicationName = "ct-ops-ingest" } = this.endpoints.url;
    return {
      user: this.user,
      database: this.database,
      application_name: [applicationName, this.policy.purpose].filter(Boolean).join(" "),
      ...("text" in options && { options: options.text }),
    };
  }

  async #open(): Promise<pg.Client> {
    this.#waitFor(this.policy.connectTimeoutMs ?? this.endpoints.url.connectTimeoutMs ?? CONNECT_TIMEOUT_MS);
    try {
      await super.connect();
      const settings = settingsOf(this.policy, this.endpoints.url);
      const { rows } = await this.query<SessionState>(APPLY_SETTINGS, [Object.keys(settings), Object.values(settings)]);
      this.#requireTarget(rows[0]);
      return this;
    } catch (cause) {
      const error = cause instanceof ConnectionError ? cause : new ConnectionError(this.endpoint, cause);
      this.cut(error);
      this.endpoints.leave(this.endpoint, error);
      throw error;
    }
  }

  #requireTarget(state: SessionState | undefined): void {
    const { target } = this.endpoints.url;
    if (target === "primary" && state?.inRecovery) throw new Error("it is a standby");
    if (target === "read-write" && state?.readOnly) throw new Error("it is read-only");
  }

  #waitFor(timeoutMs: number): void {
    // On one that has ended a statement fails at once, and nothing would stop the wait.
    if (this.#deadline !== undefined || this.#hasEnded) return;
    const since = performance.now();
    const deadline = setTimeout(() => {
      // After a stall of this process the answer may be there, unread.
      setImmediate(() => {
        if (this.#deadline !== deadline) return;
        const seconds = Math.round((performance.now() - since) / 1000);
        this.cut(new ConnectionError(this.endpoint, new Error(`no answer for ${seconds} s`)));
        this.onSilence(since);
      });
    }, timeoutMs);
    this.#deadline = deadline;
  }

  #stopWaiting(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.#lastHeardAt = performance.now();
  }
}

/**
 * Makes a single connection, to the first server that takes it. Whoever asked for it ends it.
 *
 * @param policy.signal cuts it when it is aborted, also while it is being made
 * @throws ConnectionError, IngestError `unusable_configuration`
 */
export async function openConnection(
  url: string,
  { signal, ...policy }: ConnectionPolicy & { signal?: AbortSignal },
): Promise<Connection> {
  const endpoints = new Endpoints(url);
  return endpoints.connect(async () => {
    signal?.throwIfAborted();
    const connection = new Connection(endpoints, policy);
    const cut = () => connection.cut(new ConnectionError(connection.endpoint, signal?.reason));
    signal?.addEventListener("abort", cut);
    connection.once("end", () => signal?.removeEventListener("abort", cut));
    await connection.connect();
    return connection;
  });
}
