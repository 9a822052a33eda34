import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Parser, type Result } from "tap-parser";
import type { FileToRun } from "./worker.js";

const FILE_TIMEOUT_MS = 120_000;
const CLOSING_MS = 5_000;
const KILL_AFTER_MS = 3_000;
const END_MARK = "end of file";
const WORKER = fileURLToPath(new URL("worker.js", import.meta.url));

/** What came of one test file. */
export interface FileResult {
  file: string;
  durationMs: number;
  passed: number;
  skipped: number;
  failures: { name: string; diagnostics?: unknown }[];
  /** What its tests remarked. */
  comments: string[];
}

/** A process that runs test files one after the other. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  /** How the process ended. */
  readonly #closed: Promise<string>;
  #current: { result: FileResult; startedAt: number; onEnd: () => void } | undefined;

  /** @param closingMs how long what the tests of a file closed may take to be gone */
  constructor(
    env: NodeJS.ProcessEnv,
    private readonly closingMs = CLOSING_MS,
  ) {
    this.#child = spawn(process.execPath, ["--enable-source-maps", WORKER], {
      env,
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      // A process group of its own: what the tests started and forgot is found, and ended, by it.
      detached: true,
    });
    const parser = new Parser();
    parser.on("result", (result: Result) => this.#note(result));
    this.#listenToComments(parser);
    const stdout = this.#child.stdout as Readable;
    createInterface(stdout).on("line", (line) => {
      parser.write(`${line}\n`);
      // With this line the parser has told all that came before it.
      if (this.#current !== undefined && line.endsWith(endMarkOf(this.#current.result.file))) this.#end();
    });
    // Not `close`, which does not come once the channel was disconnected.
    this.#closed = Promise.all([once(this.#child, "exit"), once(stdout, "close")]).then(
      ([[code, signal]]) => `the process of the tests ended: ${signal ?? `exit code ${code}`}`,
    );
  }

  /** Runs a file; when its process ends with it, that is a failure of the file. */
  run(file: string): Promise<FileResult> {
    return new Promise((resolve) => {
      const result: FileResult = { file, durationMs: 0, passed: 0, skipped: 0, failures: [], comments: [] };
      // tap tells what is unfinished, and what is still open, before it gives in to the signal.
      const alarm = setTimeout(() => {
        this.#child.kill("SIGALRM");
        setTimeout(() => this.kill(), KILL_AFTER_MS).unref();
      }, FILE_TIMEOUT_MS);
      const onEnd = () => {
        clearTimeout(alarm);
        resolve(result);
      };
      this.#current = { result, startedAt: performance.now(), onEnd };
      const message: FileToRun = {
        url: new URL(`../${file.replace(/\.ts$/, ".js")}`, import.meta.url).href,
        endMark: endMarkOf(file),
        closingMs: this.closingMs,
      };
      // One that just ended cannot be sent anything; it is told below.
      this.#child.send(message, () => {});
      void this.#closed.then((how) => {
        if (this.#current?.result === result) this.#end(how);
      });
    });
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.connected;
  }

  /** Passes a signal on; what has not ended a little later is killed. */
  interrupt(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
    setTimeout(() => this.kill(), KILL_AFTER_MS).unref();
  }

  /** Ends the process, and whatever its tests left running. */
  async close(): Promise<void> {
    if (this.isAlive) this.#child.disconnect();
    setTimeout(() => this.kill(), KILL_AFTER_MS).unref();
    await this.#closed;
    this.kill();
  }

  kill(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // Nobody is left in it.
    }
  }

  #note({ ok, skip, todo, fullname, name, diag }: Result): void {
    const result = this.#current?.result;
    if (result === undefined || name.startsWith(END_MARK)) return;
    if (skip || todo) result.skipped += 1;
    else if (ok) result.passed += 1;
    else result.failures.push({ name: fullname, diagnostics: diag });
  }

  #listenToComments(parser: Parser): void {
    parser.on("comment", (line: string) => {
      if (!line.startsWith("# Subtest: ")) this.#current?.result.comments.push(line.trim());
    });
    parser.on("child", (child: Parser) => this.#listenToComments(child));
  }

  #end(failure?: string): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    const { result, startedAt, onEnd } = current;
    result.durationMs = performance.now() - startedAt;
    if (failure !== undefined) result.failures.push({ name: failure });
    if (result.passed + result.skipped + result.failures.length === 0) result.failures.push({ name: "tests nothing" });
    onEnd();
  }
}

function endMarkOf(file: string): string {
  return `${END_MARK} ${file}`;
}
