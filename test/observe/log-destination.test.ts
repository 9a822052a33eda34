import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { startProcess } from "../support/commands/process.js";
import { createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { skipWithout } from "../support/programs.js";
import { makeDirectory, serviceEnvironment, writeServiceFiles } from "../support/service.js";

const LOGGER = new URL("../../dist/observe/logger.js", import.meta.url).href;

/** Runs a script that has a logger, `log`; the shell can be told how. */
function runScript(t: Test, script: string, { before = "", redirection = "" } = {}): ChildProcess {
  const source = `import { createLogger } from ${JSON.stringify(LOGGER)}; const log = createLogger("info"); ${script}`;
  const command = `${before} exec "$0" --input-type=module -e "$1" ${redirection}`;
  const child = spawn("sh", ["-c", command, process.execPath, source], { stdio: "pipe" });
  t.teardown(() => child.kill("SIGKILL"));
  return child;
}

t.test("a service whose log cannot be written serves on, and stops when it is told to", async (t) => {
  const [database, directory, port] = [await createTestDatabase(t), await makeDirectory(t), String(await freePort())];
  await writeServiceFiles(directory);
  const env = { ...serviceEnvironment(directory, database.url), INGEST_HTTP_PORT: port };
  const service = startProcess(t, ["serve"], { env, stdout: openSync("/dev/full", "w") });
  const statusNow = () =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ status }) => status,
      () => 0,
    );
  t.equal(await eventually(statusNow, (status) => status === 200), 200);
  service.kill("SIGTERM");
  t.same(await service.exited, { code: 0, signal: null });
});

t.test("a reader that stands still holds nothing up; what it missed is counted", async (t) => {
  const script = runScript(
    t,
    `for (let i = 0; i < 20_000; i++) log.info({ i }, "x".repeat(200));
     process.stderr.write("written");
     process.stdin.once("data", () => { log.info("after"); process.exitCode = 0; process.stdin.destroy(); });`,
  );
  // Nothing is read from its output until here.
  await once(script.stderr as NodeJS.ReadableStream, "data");
  let output = "";
  script.stdout?.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  await eventually(
    async () => output.length,
    (length) => length > 1024 * 1024,
  );
  script.stdin?.write("go on");
  await once(script.stdout as NodeJS.ReadableStream, "close");
  const lines = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const [report, after] = lines.slice(-2);
  t.match(after, { msg: "after" });
  t.match(report, { level: "warn", time: String, msg: "log lines could not be written" });
  t.equal(report.dropped + lines.length - 2, 20_000, "each line was written or counted");
});

/** A terminal that nobody reads, as Ctrl-S makes one; prints what the script writes to standard error. */
const HALTED_TERMINAL = `
import os, subprocess, sys
_, terminal = os.openpty()
sys.exit(subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=terminal, timeout=60).returncode)
`;

t.test("a terminal that is halted holds nothing up", async (t) => {
  const source = `import { createLogger } from ${JSON.stringify(LOGGER)}; const log = createLogger("info");
    for (let i = 0; i < 10_000; i++) log.info("x".repeat(200));
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.stderr.write("still here");
    process.kill(process.pid, "SIGKILL");`;
  const script = spawn("python3", ["-c", HALTED_TERMINAL, process.execPath, "--input-type=module", "-e", source]);
  t.teardown(() => script.kill("SIGKILL"));
  const [written] = await Promise.race([
    once(script.stderr, "data"),
    new Promise<string[]>((resolve) => script.once("error", ({ message }) => resolve([message]))),
  ]);
  if (String(written).includes("ENOENT"))
    return void t.pass("no terminal", { skip: skipWithout("there is no python3 to make one with") });
  t.match(String(written), "still here");
});

t.test("a reader that went away ends nothing", async (t) => {
  const script = runScript(
    t,
    `for (let i = 0; i < 10; i++) { log.info("x"); await new Promise((resolve) => setTimeout(resolve, 10)); }
     process.stderr.write("still here");`,
  );
  script.stdout?.destroy();
  t.match(String((await once(script.stderr as NodeJS.ReadableStream, "data"))[0]), "still here");
  t.same(await once(script, "exit"), [0, null]);
});

t.test("a disk that was full has room again", async (t) => {
  const file = join(await makeDirectory(t), "log");
  const script = runScript(
    t,
    `import { truncateSync } from "node:fs";
     for (let i = 0; i < 20; i++) log.info({ i }, "x".repeat(80));
     truncateSync(${JSON.stringify(file)}, 0);
     log.info("after");`,
    // A file may grow to 512 bytes, or 1,024.
    { before: "ulimit -f 1;", redirection: `>> ${file}` },
  );
  t.same(await once(script, "exit"), [0, null]);
  const lines = (await readFile(file, "utf8")).trim().split("\n");
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ dropped: Number }, { msg: "after" }],
  );
});
