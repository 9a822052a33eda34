import { readFile } from "node:fs/promises";
import { WatchedFiles } from "../../lib/watched-files.js";

const FILE_WATCH_MS = 30_000;

/** Where the newest released version of the agent is known from. */
export interface ReleaseSource {
  /** Stands for itself, and is overridden by a manifest that can be read. */
  version?: string | undefined;
  manifestPath?: string | undefined;
}

/** The newest released version of the agent, as it is known at the moment. */
export class Releases {
  #fromManifest: string | undefined;
  readonly #watch: WatchedFiles | undefined;

  private constructor(
    private readonly version: string | undefined,
    watch: (apply: (contents: readonly string[]) => void) => WatchedFiles | undefined,
  ) {
    this.#watch = watch(([text = ""]) => {
      this.#fromManifest = readManifest(text);
    });
  }

  /**
   * Reads the manifest, and again whenever it changes; one that cannot be read changes nothing.
   *
   * @param onProblem told once of each thing that keeps the manifest from being used
   */
  static async open(
    { version, manifestPath }: ReleaseSource,
    onProblem: (error: unknown) => void,
    intervalMs = FILE_WATCH_MS,
  ): Promise<Releases> {
    if (manifestPath === undefined) return new Releases(version, () => undefined);
    const text = await readFile(manifestPath, "utf8").catch(() => undefined);
    return new Releases(version, (apply) => {
      const inUse: string[] = [];
      try {
        if (text !== undefined) {
          apply([text]);
          inUse.push(text);
        }
      } catch {
        // The watch finds the same, and reports it.
      }
      return new WatchedFiles({ paths: [manifestPath], inUse, apply, onProblem, intervalMs });
    });
  }

  /** With its `v`; undefined when none is known. */
  get newest(): string | undefined {
    return this.#fromManifest ?? this.version;
  }

  async stop(): Promise<void> {
    await this.#watch?.stop();
  }
}

/**
 * The version of the agent in a release manifest, with its `v`.
 *
 * @throws Error when it is no manifest
 */
export function readManifest(text: string): string {
  const manifest: unknown = JSON.parse(text);
  const version = typeof manifest === "object" && manifest !== null && "agent" in manifest ? manifest.agent : undefined;
  if (typeof version !== "string" || !/^v?\d+(\.\d+)*[\w.+-]*$/.test(version)) {
    throw new Error(`the release manifest has no version of the agent under "agent"`);
  }
  return version.startsWith("v") ? version : `v${version}`;
}
