import { stringify } from "yaml";
import { type FileResult, WorkerProcess } from "./worker-process.js";

/** How many assertions came out how. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Runs test files in several processes, each of which takes the next one when it is through, and prints a line for each
 * and what failed.
 *
 * @param files sources, relative to `test/`
 * @param signal aborted with the name of a signal, which is passed on to the processes
 */
export async function runFiles(
  files: readonly string[],
  { jobs, env, signal }: { jobs: number; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<Totals> {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const queue = [...files];
  const work = async () => {
    let worker: WorkerProcess | undefined;
    const interrupt = () => worker?.interrupt(signal.reason);
    signal.addEventListener("abort", interrupt);
    for (let file = queue.shift(); file !== undefined && !signal.aborted; file = queue.shift()) {
      if (!worker?.isAlive) {
        await worker?.close();
        worker = new WorkerProcess(env);
      }
      const result = await worker.run(file);
      totals.passed += result.passed;
      totals.failed += result.failures.length;
      totals.skipped += result.skipped;
      print(result);
    }
    await worker?.close();
    signal.removeEventListener("abort", interrupt);
  };
  await Promise.all(Array.from({ length: Math.min(jobs, files.length) }, work));
  return totals;
}

function print({ file, durationMs, passed, skipped, failures, comments }: FileResult): void {
  const counts = [`${passed} passed`, `${failures.length} failed`, `${skipped} skipped`];
  const told = counts.filter((count, index) => index === 0 || !count.startsWith("0 "));
  const lines = [
    `${failures.length > 0 ? "not ok" : "ok"} - ${file}: ${told.join(", ")} (${(durationMs / 1000).toFixed(1)} s)`,
  ];
  for (const comment of comments) lines.push(`  ${comment}`);
  for (const { name, diagnostics } of failures) {
    lines.push(`  not ok - ${name}`);
    if (diagnostics) lines.push(stringify(diagnostics).trimEnd().replace(/^/gm, "    "));
  }
  console.log(lines.join("\n"));
}
