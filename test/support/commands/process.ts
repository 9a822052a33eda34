import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";

const MAIN = fileURLToPath(new URL("../../../dist/main.js", import.meta.url));

/** The product in a process of its own. */
export interface TestProcess {
  pid: number;
  /** What it has written to both outputs so far. */
  output(): string;
  /** Resolves when the output matches; rejects when the process ends before it does. */
  saw(pattern: RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** How it ended. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** How a process is started. */
export interface TestProcessOptions {
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** A file descriptor instead of a pipe that is read. */
  stdout?: number;
}

/** Starts the product with these arguments; it does not outlive the test. */
export function startProcess(t: Test, args: readonly string[], options: TestProcessOptions = {}): TestProcess {
  const { env = {}, cwd, stdout = "pipe" } = options;
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, ...env },
    cwd,
    stdio: ["ignore", stdout, "pipe"],
  });
  let output = "";
  let onChange = () => {};
  const onData = (chunk: Buffer) => {
    output += chunk;
    onChange();
  };
  child.stdout?.on("data", onData);
  child.stderr?.on("data", onData);
  let isOver = false;
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      isOver = true;
      resolve({ code, signal });
      onChange();
    });
  });
  t.teardown(() => child.kill("SIGKILL"));
  return {
    pid: child.pid ?? 0,
    output: () => output,
    saw: (pattern) =>
      new Promise((resolve, reject) => {
        onChange = () => {
          if (pattern.test(output)) resolve();
          else if (isOver) reject(new Error(`the process ended before its output matched ${pattern}: ${output}`));
        };
        onChange();
      }),
    kill: (signal) => child.kill(signal),
    exited,
  };
}
