import { readFile } from "node:fs/promises";

const INTERVAL_MS = 250;

/** The resident memory of a process, in MB; NaN where there is no `/proc`. */
export async function rssMbOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(status) ?? [];
  return kilobytes === undefined ? Number.NaN : Number(kilobytes) / 1024;
}

/** Watches the resident memory of a process; what it returns ends that, and tells the least and the most, in MB. */
export function watchMemory(pid: number): () => { leastMb: number; mostMb: number } {
  const seen: number[] = [];
  const look = async () => {
    const mb = await rssMbOf(pid);
    if (!Number.isNaN(mb)) seen.push(mb);
  };
  void look();
  const timer = setInterval(look, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    return { leastMb: Math.min(...seen), mostMb: Math.max(...seen) };
  };
}
