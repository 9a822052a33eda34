import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Refresher } from "./async/refresher.js";

/** How {@link WatchedFiles} are looked at. */
export interface WatchedFilesOptions {
  paths: readonly string[];
  /** The contents that are in use, in the order of the paths. */
  inUse: readonly string[];
  /** Takes other contents into use. While it throws, what was in use stays, and it is called again at every look. */
  apply: (contents: readonly string[]) => Promise<void> | void;
  /** Told once of each thing that keeps the files from being used. */
  onProblem: (error: unknown) => void;
  /** Between two looks, in milliseconds. */
  intervalMs: number;
}

/**
 * Files that belong together and may be replaced while the service runs. They are read again and compared, because
 * notifications of the file system do not reach through every mount, and mounted secrets change by a switched link.
 * Changed contents count once two looks have seen the same, so that half of a pair, or of a file, is not taken.
 */
export class WatchedFiles {
  readonly #looks: Refresher;
  #inUse: string;
  #seen: string;
  #reported: string | undefined;

  constructor(private readonly options: WatchedFilesOptions) {
    this.#inUse = digestOf(options.inUse);
    this.#seen = this.#inUse;
    const { intervalMs, onProblem } = options;
    this.#looks = new Refresher({ work: () => this.#look(), intervalMs, onError: onProblem });
  }

  /** Looks no more. */
  stop(): Promise<void> {
    return this.#looks.stop();
  }

  async #look(): Promise<void> {
    const { paths, apply } = this.options;
    const read = await Promise.all(paths.map((path) => readFile(path, "utf8"))).catch((error: Error) => error);
    const state = digestOf(read instanceof Error ? [read.message] : read);
    const isSettled = state === this.#seen;
    this.#seen = state;
    if (state === this.#inUse) {
      this.#reported = undefined;
      return;
    }
    if (!isSettled) return;
    try {
      if (read instanceof Error) throw read;
      await apply(read);
      this.#inUse = state;
      this.#reported = undefined;
    } catch (error) {
      this.#report(error, state);
    }
  }

  #report(error: unknown, state: string): void {
    const problem = `${state} ${error}`;
    if (problem !== this.#reported) this.options.onProblem(error);
    this.#reported = problem;
  }
}

/** The contents may be secret: only this is kept of them. */
function digestOf(contents: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(contents)).digest("base64");
}
