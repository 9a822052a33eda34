#!/usr/bin/env node
import { runCli } from "./cli/program.js";

/** How often an orphan looks for its parent. */
const PARENT_CHECK_MS = 500;

const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // Kept for good: Ctrl-C under npm arrives twice, from the terminal and from npm.
  process.on(signal, () => ending.abort(signal));
}

// npm passes a signal on to a shell, which may die of it without telling: whoever npm started ends with it.
if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) ending.abort("parent ended");
  }, PARENT_CHECK_MS).unref();
}

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  signal: ending.signal,
  ...(process.stdout.isTTY && {
    // A terminal that does not say how wide it is reports none.
    terminal: {
      columns: process.stdout.columns || 80,
      hasColours: !process.env.NO_COLOR && process.env.TERM !== "dumb",
    },
  }),
  print: (line) => console.log(line),
  warn: (line) => console.error(line),
  progress: (line) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line.slice(0, process.stderr.columns - 1)}`);
  },
});
