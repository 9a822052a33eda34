import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import type pg from "pg";
import { IngestError } from "../../errors.js";
import { type PostgresHost, type PostgresUrl, parsePostgresUrl } from "../../lib/formats/postgres-url.js";
import { ConnectionError } from "./connection-error.js";

/** One way to the database: a server, with or without TLS. */
export interface Endpoint extends PostgresHost {
  tls: boolean;
}

/**
 * The ways to the database that a URL names, in its order. The one that worked last is tried first: after a failover
 * every connection would otherwise ask the old server again.
 */
export class Endpoints {
  readonly url: PostgresUrl;
  readonly #all: readonly Endpoint[];
  #current = 0;

  /** @throws IngestError `unusable_configuration` when the URL cannot be understood */
  constructor(text: string) {
    const result = parsePostgresUrl(text);
    if ("problems" in result) {
      throw new IngestError("unusable_configuration", `the database's URL is not valid: ${result.problems.join("; ")}`);
    }
    this.url = result.url;
    this.#all = result.url.hosts.flatMap((host) => tlsOrder(host, result.url).map((tls) => ({ ...host, tls })));
  }

  /** Where the next connection is made. */
  get current(): Endpoint {
    return this.#all[this.#current] as Endpoint;
  }

  /** Makes the next connection go elsewhere, if there is another way; whoever tells it first decides. */
  leave(endpoint: Endpoint, error?: unknown): void {
    if (endpoint !== this.current) return;
    const rest = [...this.#all.slice(this.#current + 1), ...this.#all.slice(0, this.#current)];
    const isSame = ({ host, port }: Endpoint) => host === endpoint.host && port === endpoint.port;
    // The same server with other TLS helps only where TLS was the matter.
    const next = rest.find((other) => !isSame(other) || isAboutTls(error));
    if (next !== undefined) this.#current = this.#all.indexOf(next);
  }

  /**
   * Connects, to each endpoint at most once.
   *
   * @param connect makes a connection to {@link current}, which it leaves when that fails with a {@link ConnectionError}
   * @throws ConnectionError what each of them failed with
   */
  async connect<T>(connect: () => Promise<T>): Promise<T> {
    const tried = new Map<Endpoint, ConnectionError>();
    while (!tried.has(this.current)) {
      const endpoint = this.current;
      try {
        return await connect();
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        tried.set(endpoint, error);
      }
    }
    throw summaryOf([...tried.values()]);
  }
}

function tlsOrder({ host }: PostgresHost, { sslMode }: PostgresUrl): boolean[] {
  if (host.startsWith("/") || sslMode === "disable") return [false];
  if (sslMode === "allow") return [false, true];
  return sslMode === "prefer" ? [true, false] : [true];
}

/** What is to be told of several attempts: each thing once, and nothing of TLS that was only a try. */
function summaryOf(errors: readonly ConnectionError[]): ConnectionError {
  const told = errors.filter((error) => !/does not support SSL/.test(error.message));
  const [first, ...others] = new Map((told.length > 0 ? told : errors).map((error) => [error.message, error])).values();
  if (first === undefined) throw new TypeError("no attempt was made");
  for (const { message } of others) first.message += `; ${message}`;
  return first;
}

/** Whether a server wants TLS, or has none. PostgreSQL says the former in many languages, with this code. */
function isAboutTls(error: unknown): boolean {
  const { cause } = error instanceof Error ? error : {};
  if (!(cause instanceof Error)) return false;
  const { code } = cause as NodeJS.ErrnoException;
  return code === "28000" || /SSL|TLS/.test(`${code} ${cause.message}`);
}

/** What pg needs to connect to an endpoint. Files are read each time, so they may be replaced while the service runs. */
export function clientConfig(endpoint: Endpoint, url: PostgresUrl): pg.ClientConfig {
  const user = url.user ?? systemUser();
  return {
    host: endpoint.host,
    port: endpoint.port,
    user,
    password: url.password,
    database: url.database ?? user,
    ssl: endpoint.tls && tlsOptions(url),
    sslnegotiation: "postgres",
    enableChannelBinding: url.channelBinding,
  };
}

function tlsOptions({ sslMode, sslRootCert, sslCert, sslKey }: PostgresUrl): Exclude<pg.ClientConfig["ssl"], boolean> {
  const ca = sslRootCert === undefined || sslRootCert === "system" ? undefined : readPem("sslrootcert", sslRootCert);
  const isVerified =
    sslMode === "verify-ca" || sslMode === "verify-full" || (sslMode === "require" && ca !== undefined);
  return {
    rejectUnauthorized: isVerified,
    ...(ca !== undefined && { ca }),
    ...(sslMode !== "verify-full" && { checkServerIdentity: () => undefined }),
    ...(sslCert !== undefined && { cert: readPem("sslcert", sslCert) }),
    ...(sslKey !== undefined && { key: readPem("sslkey", sslKey) }),
  };
}

function readPem(parameter: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new IngestError(
      "unusable_configuration",
      `${parameter} of the database's URL cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    throw new IngestError("unusable_configuration", "the database's URL names no user, and this process has no name");
  }
}
