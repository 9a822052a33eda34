// Compiles when a source changes, and starts the service again: `npm run dev`. Arguments are those of the command `dev`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const format = {
  getCurrentDirectory: () => root,
  getCanonicalFileName: (name) => name,
  getNewLine: () => "\n",
};

let service;
let restarting = Promise.resolve();
let isEnding = false;

async function restart() {
  await stop();
  if (isEnding) return;
  service = spawn(process.execPath, ["dist/main.js", "dev", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
  const started = service;
  started.once("exit", () => {
    if (started === service) console.error("The service ended; it starts again with the next change.");
  });
}

async function stop() {
  const stopping = service;
  service = undefined;
  if (stopping === undefined || stopping.exitCode !== null || stopping.signalCode !== null) return;
  const exited = once(stopping, "exit");
  stopping.kill("SIGTERM");
  await exited;
}

const host = ts.createWatchCompilerHost(
  `${root}/tsconfig.json`,
  { preserveWatchOutput: true },
  ts.sys,
  ts.createEmitAndSemanticDiagnosticsBuilderProgram,
  (diagnostic) => console.error(ts.formatDiagnosticsWithColorAndContext([diagnostic], format)),
  (diagnostic, _newLine, _options, errorCount) => {
    console.error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"));
    // With errors, what was compiled last goes on running.
    if (errorCount === 0) restarting = restarting.then(restart);
  },
);
const watch = ts.createWatchProgram(host);

async function end() {
  if (isEnding) return;
  isEnding = true;
  watch.close();
  await restarting;
  await stop();
  process.exit();
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, end);
// npm passes a signal on to a shell, which may die of it without telling.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && end(), 500);
