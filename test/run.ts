/**
 * Runs the tests: starts a PostgreSQL of their own, makes the database and the signing key they copy, runs tap, and leaves nothing.
 * Arguments are passed on to tap, for example `npm test -- test-dist/enrolment/register.test.js`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { chmod, mkdtemp, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { startEmbeddedPostgres } from "../dist/cli/dev/embedded-postgres.js";
import { generateSigningKeyPem } from "../dist/identity/signing-keys/signing-key.js";
import { migrateStandalone } from "../dist/store/migrate.js";
import { TEMPLATE_DATABASE } from "./support/database.js";

const KILL_AFTER_MS = 3_000;
const MIN_MEMORY_BYTES = 4 * 1024 ** 3;

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interruption.abort(signal));
}

const directory = await mkdtemp(join(await rootDirectory(), "ct-ops-ingest-test-"));
try {
  // PostgreSQL runs as another user when this is root.
  await chmod(directory, 0o711);
  const postgres = await startEmbeddedPostgres({
    dataDir: join(directory, "data"),
    settings: { fsync: "off", full_page_writes: "off", max_connections: 300 },
  });
  try {
    await createTemplate(postgres.url(), postgres.url(TEMPLATE_DATABASE));
    const signingKeyFile = join(directory, "jwt_key.pem");
    await writeFile(signingKeyFile, await generateSigningKeyPem(), { mode: 0o600 });
    const env = { TEST_POSTGRES_URL: postgres.url(), TEST_SIGNING_KEY_FILE: signingKeyFile };
    process.exitCode = await runTap(env, join(directory, "results.tap"));
  } finally {
    await postgres.stop();
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
process.exit();

/** In memory where there is plenty: cloning a database takes 70 ms there, and up to 500 on a slow disk. */
async function rootDirectory(): Promise<string> {
  const inMemory = "/dev/shm";
  const { bavail, bsize } = await statfs(inMemory).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= MIN_MEMORY_BYTES ? inMemory : tmpdir();
}

async function createTemplate(serverUrl: string, templateUrl: string): Promise<void> {
  const admin = new pg.Client({ connectionString: serverUrl });
  await admin.connect();
  try {
    await admin.query(`create database ${TEMPLATE_DATABASE}`);
    await migrateStandalone(templateUrl);
    // Cloning fails while somebody is connected to the template.
    await admin.query(`alter database ${TEMPLATE_DATABASE} with is_template true allow_connections false`);
  } finally {
    await admin.end();
  }
}

/** Runs tap and prints the totals; returns its exit code. */
async function runTap(env: Record<string, string>, resultsFile: string): Promise<number> {
  if (interruption.signal.aborted) return signalCode(interruption.signal.reason);
  const root = fileURLToPath(new URL("..", import.meta.url));
  const bin = join(root, "node_modules/tap/dist/esm/run.mjs");
  const options = process.argv.slice(2);
  // tap's other reports are for terminals: in a log they repeat themselves, and with CI set they print nothing.
  const forLog = (!process.stdout.isTTY || "CI" in process.env) && !options.some((o) => /^(--reporter|-R)/.test(o));
  const report = forLog ? "--reporter=tap" : `--output-file=${resultsFile}`;
  const tap = spawn(process.execPath, [bin, "run", report, ...options], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", forLog ? "pipe" : "inherit", "inherit"],
    // A process group of its own: what the tests started and forgot is found, and ended, by it.
    detached: true,
  });
  tap.stdout?.pipe(process.stdout, { end: false });
  const saved = tap.stdout && finished(tap.stdout.pipe(createWriteStream(resultsFile)));
  interruption.signal.addEventListener("abort", () => {
    tap.kill(interruption.signal.reason);
    setTimeout(() => killGroup(tap), KILL_AFTER_MS).unref();
  });
  const [code, signal] = (await once(tap, "exit")) as [number | null, NodeJS.Signals | null];
  killGroup(tap);
  await saved;

  const exitCode = interruption.signal.aborted ? signalCode(interruption.signal.reason) : (code ?? signalCode(signal));
  const totals = await countResults(resultsFile);
  // tap fails as well when a file breaks off, or plans other than it runs, without one assertion failing.
  const failed = exitCode === 0 ? totals.failed : Math.max(totals.failed, 1);
  const skipped = totals.skipped === 0 ? "" : `, ${totals.skipped} skipped`;
  console.log(`${totals.passed} passed, ${failed} failed${skipped}`);
  return exitCode;
}

interface TapResult {
  ok: boolean;
  skip: boolean | string;
  todo: boolean | string;
}

interface TapParser {
  on(event: "result", listener: (result: TapResult) => void): void;
  end(text: string): void;
}

/** Counts single assertions, not the tests that they are in, with tap's own parser. */
async function countResults(file: string): Promise<{ passed: number; failed: number; skipped: number }> {
  const core = createRequire(createRequire(import.meta.url).resolve("tap")).resolve("@tapjs/core");
  const { Parser } = createRequire(core)("tap-parser") as { Parser: new () => TapParser };
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const parser = new Parser();
  parser.on("result", ({ ok, skip, todo }) => {
    totals[skip || todo ? "skipped" : ok ? "passed" : "failed"]++;
  });
  parser.end(await readFile(file, "utf8").catch(() => ""));
  return totals;
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined || process.platform === "win32") return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}

function signalCode(signal: NodeJS.Signals | null): number {
  return signal === null ? 1 : 128 + constants.signals[signal];
}
