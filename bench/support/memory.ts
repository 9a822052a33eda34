import { readFile } from "node:fs/promises";

const INTERVAL_MS = 250;

/** Watches the resident memory of a process; what it returns ends that, and tells the least and the most, in MB. */
export function watchMemory(pid: number): () => { leastMb: number; mostMb: number } {
  const seen: number[] = [];
  const look = async () => {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(status) ?? [];
    if (kilobytes !== undefined) seen.push(Number(kilobytes) / 1024);
  };
  void look();
  const timer = setInterval(look, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    return { leastMb: Math.min(...seen), mostMb: Math.max(...seen) };
  };
}
