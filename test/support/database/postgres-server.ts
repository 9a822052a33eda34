import { execFile } from "node:child_process";
import { chmod, chown, copyFile, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import type { Test } from "tap";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../../dist/cli/dev/embedded-postgres.js";
import { eventually } from "../eventually.js";
import { fixtureFile } from "../fixtures.js";

const run = promisify(execFile);

/** A PostgreSQL that only one test knows, for what cannot be done to the one that all share. */
export class PostgresServer {
  /** Of its superuser, in database `postgres`. */
  url = "";
  port: number | undefined;
  #running: EmbeddedPostgres | undefined;

  private constructor(
    private readonly t: Test,
    private readonly dataDir: string,
    /** Where its Unix socket is. */
    readonly socketDirectory: string,
  ) {
    t.teardown(() => this.stop());
  }

  /** Starts a server; it ends with the test. */
  static async start(t: Test): Promise<PostgresServer> {
    // Beside the one that all share: in memory, if there is room.
    const directory = await mkdtemp(join(dirname(fixtureFile(".")), "postgres-"));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    await chmod(directory, 0o711);
    const socketDirectory = join(directory, "socket");
    await mkdir(socketDirectory);
    await chmod(socketDirectory, 0o777);
    const server = new PostgresServer(t, join(directory, "data"), socketDirectory);
    await server.start();
    return server;
  }

  /** Starts it again, where it was. */
  async start(): Promise<void> {
    this.#running = await startEmbeddedPostgres({
      dataDir: this.dataDir,
      ...(this.port !== undefined && { port: this.port }),
      settings: {
        fsync: "off",
        listen_addresses: "127.0.0.1,127.0.0.2",
        unix_socket_directories: this.socketDirectory,
        max_connections: 20,
      },
    });
    this.url = this.#running.url();
    this.port = Number(new URL(this.url).port);
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.stop();
  }

  /** Starts another one that has the same data and follows nobody: it can only be read. */
  async startStandby(): Promise<PostgresServer> {
    await this.stop();
    const standby = new PostgresServer(this.t, `${this.dataDir}-standby`, this.socketDirectory);
    await run("cp", ["-a", this.dataDir, standby.dataDir]);
    await this.start();
    await standby.startAsStandby();
    return standby;
  }

  /** Starts it so that it can only be read until it is promoted. */
  async startAsStandby(): Promise<void> {
    await writeFile(join(this.dataDir, "standby.signal"), "");
    await this.start();
  }

  /** Runs one statement on a connection of its own, over the socket. */
  async query<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string): Promise<R[]> {
    const { username: user, password } = new URL(this.url);
    const client = new pg.Client({ host: this.socketDirectory, port: this.port, user, password, database: "postgres" });
    await client.connect();
    try {
      return (await client.query<R>(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** Whom it admits, as lines of `pg_hba.conf`; who comes by the socket is trusted. */
  async admit(...rules: string[]): Promise<void> {
    await writeFile(join(this.dataDir, "pg_hba.conf"), ["local all all trust", ...rules, ""].join("\n"));
    await this.#reload();
  }

  /** Switches TLS on, with the certificate of the fixtures, and with these CAs for those of clients; or off. */
  async useTls(use: boolean, clientCasPem = ""): Promise<void> {
    const { uid, gid } = await stat(this.dataDir);
    for (const file of ["server.crt", "server.key"]) {
      const target = join(this.dataDir, file);
      await copyFile(join(fixtureFile("tls"), file), target);
      await chown(target, uid, gid);
      await chmod(target, 0o600);
    }
    await writeFile(join(this.dataDir, "client-ca.crt"), clientCasPem);
    await this.query(`alter system set ssl_ca_file = '${clientCasPem && "client-ca.crt"}'`);
    await this.query(`alter system set ssl = ${use ? "on" : "off"}`);
    await this.#reload();
  }

  async #reload(): Promise<void> {
    const loadedAt = async () => (await this.query("select pg_conf_load_time()::text as at"))[0]?.at;
    const before = await loadedAt();
    await this.query("select pg_reload_conf()");
    await eventually(loadedAt, (at) => at !== before);
  }
}
