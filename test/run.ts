/**
 * Runs the tests: starts a PostgreSQL of their own, makes what they copy, runs the files, and
 * leaves nothing. Arguments choose files, by their path or a part of it: `npm test -- test/enrolment/tokens.test.ts`,
 * `npm test -- enrolment`. tap's own variables work, for example `TAP_GREP=/offline/`.
 */
import { chmod, mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { availableParallelism, constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startEmbeddedPostgres } from "../dist/cli/dev/embedded-postgres.js";
import { chooseFiles } from "./runner/choose-files.js";
import { runFiles } from "./runner/run-files.js";
import { startSharedBroker } from "./runner/shared-broker.js";
import { makeFixtures } from "./support/fixtures.js";

const MIN_MEMORY_BYTES = 4 * 1024 ** 3;
/** Nothing here outlives the run, and what goes on by itself only takes the processors from the tests. */
const SETTINGS = {
  fsync: "off",
  full_page_writes: "off",
  wal_level: "minimal",
  max_wal_senders: 0,
  autovacuum: "off",
  jit: "off",
  max_connections: 300,
};
const SOURCES = fileURLToPath(new URL("../test", import.meta.url));

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => interruption.abort(signal));
}

const directory = await mkdtemp(join(await rootDirectory(), "ct-ops-ingest-test-"));
try {
  const sources = (await readdir(SOURCES, { recursive: true })).filter((path) => path.endsWith(".test.ts"));
  const files = chooseFiles(sources, process.argv.slice(2));
  // PostgreSQL runs as another user when this is root.
  await chmod(directory, 0o711);
  const postgres = await startEmbeddedPostgres({
    dataDir: join(directory, "data"),
    settings: SETTINGS,
  });
  const brokerStart = startSharedBroker(files, { sources: SOURCES, directory: join(directory, "broker") });
  try {
    const fixturesMade = makeFixtures(join(directory, "fixtures"), postgres.url);
    const [fixtures, broker] = await Promise.all([fixturesMade, brokerStart]);
    const env = { ...process.env, ...fixtures, ...(broker && { INGEST_TEST_AMQP_URL: broker.url }) };
    const totals = await runFiles(files, { jobs: 2 * availableParallelism(), env, signal: interruption.signal });
    const { passed, failed, skipped } = totals;
    console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
    process.exitCode = failed === 0 ? 0 : 1;
  } finally {
    const broker = await brokerStart.catch(() => undefined);
    await broker?.close();
    await postgres.stop();
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
const { aborted, reason } = interruption.signal;
process.exit(aborted ? 128 + constants.signals[reason as NodeJS.Signals] : process.exitCode);

/** In memory where there is plenty: cloning a database takes 70 ms there, and up to 500 on a slow disk. */
async function rootDirectory(): Promise<string> {
  const inMemory = "/dev/shm";
  const { bavail, bsize } = await statfs(inMemory).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= MIN_MEMORY_BYTES ? inMemory : tmpdir();
}
