/**
 * Preloaded with `--expose-gc`: at SIGUSR2 the process collects its garbage, and writes what it uses then into the file that
 * `BENCH_MEMORY_FILE` names.
 */
import { renameSync, writeFileSync } from "node:fs";
import { memoryUsage } from "node:process";

const file = process.env.BENCH_MEMORY_FILE ?? "";

process.on("SIGUSR2", () => {
  globalThis.gc?.();
  writeFileSync(`${file}.new`, JSON.stringify(memoryUsage()));
  renameSync(`${file}.new`, file);
});
