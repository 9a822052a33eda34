#!/usr/bin/env node
import { userInfo } from "node:os";
import { createInterface } from "node:readline/promises";
import { runCli } from "./cli/program.js";
import { isWorkerEnvironment } from "./cli/service/workers/worker-messages.js";

/** How often an orphan looks for its parent. */
const PARENT_CHECK_MS = 500;
/** How long npm may take to pass on a signal that the terminal has sent already. */
const ECHO_MS = 250;
/** How long what nobody waits for any more may keep the process. */
const EXIT_GRACE_MS = 500;

const isUnderNpm = process.env.npm_lifecycle_event !== undefined;
const told = new AbortController();
const toldAgain = new AbortController();
let toldAt = 0;

function end(reason: string): void {
  if (!told.signal.aborted) {
    toldAt = performance.now();
    told.abort(reason);
  } else if (!isUnderNpm || performance.now() - toldAt > ECHO_MS) toldAgain.abort(reason);
}

// A terminal sends these two to the workers as well, which are told by their primary what to do.
const isLeftToPrimary = isWorkerEnvironment(process.env);
const isInTerminal = [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY);
let onHangUp: (() => void) | undefined;

process.on("SIGTERM", end);
process.on("SIGINT", (signal) => {
  if (!isLeftToPrimary) end(signal);
});
process.on("SIGHUP", (signal) => {
  if (onHangUp !== undefined) onHangUp();
  else if (!isLeftToPrimary) end(signal);
});

let hasFault = false;
process.on("uncaughtException", (error, origin) => {
  process.stderr.write(`error: ${origin}: ${error instanceof Error ? error.stack : String(error)}\n`);
  hasFault = true;
  // What was thrown may have broken anything: the streams are told to go elsewhere. A rejection broke off work of its own.
  if (origin === "uncaughtException") end("uncaught exception");
});

// npm passes a signal on to a shell, which may die of it without telling: whoever npm started ends with it.
if (isUnderNpm) {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent && !told.signal.aborted) end("parent ended");
  }, PARENT_CHECK_MS).unref();
}

let outputError: NodeJS.ErrnoException | undefined;
// What comes of a line is told where it is written; without these the process would end in the middle of its work.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

/** Who gave the command; a container's user need not have a name. */
function userName(): string {
  try {
    const { username, uid } = userInfo();
    return uid === 0 && process.env.SUDO_USER ? process.env.SUDO_USER : username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}

async function confirm(question: string): Promise<boolean> {
  // Not as a terminal: then Ctrl-C is the signal that it is everywhere else.
  const asking = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  const givenUp = new Promise<string>((resolve) => asking.once("close", () => resolve("")));
  try {
    return /^y(es)?$/i.test((await Promise.race([asking.question(`${question} [y/N] `), givenUp])).trim());
  } finally {
    asking.close();
  }
}

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  user: userName(),
  ...(process.stdin.isTTY && process.stderr.isTTY && { confirm }),
  signal: told.signal,
  secondSignal: toldAgain.signal,
  ...(!isInTerminal && {
    onHangUp: (listener: () => void) => {
      onHangUp = listener;
    },
  }),
  ...(process.stdout.isTTY && {
    // A terminal that does not say how wide it is reports none.
    terminal: {
      columns: process.stdout.columns || 80,
      hasColours: !process.env.NO_COLOR && process.env.TERM !== "dumb",
    },
  }),
  print: (line) =>
    process.stdout.write(`${line}\n`, (error) => {
      outputError ??= error ?? undefined;
    }),
  warn: (line) => process.stderr.write(`${line}\n`),
  ...(process.stderr.isTTY && {
    progress: (line) => process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`),
  }),
});

// A pager may take its time to read, and is waited for until somebody says otherwise.
await Promise.race([
  new Promise((resolve) => process.stdout.write("", resolve)),
  new Promise((resolve) => {
    if (told.signal.aborted) resolve(undefined);
    told.signal.addEventListener("abort", resolve);
  }),
]);
// A reader that closes early, like `head`, has what it wants.
if (outputError !== undefined && outputError.code !== "EPIPE") {
  process.stderr.write(`error: standard output cannot be written: ${outputError.message}\n`);
  process.exitCode ||= 1;
}
if (hasFault) process.exitCode = 1;
setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();
