import { readFile } from "node:fs/promises";

/** As Linux counts it in `/proc`, whatever the machine. */
const TICKS_PER_SECOND = 100;

/** The processor time that a process has used, in milliseconds; undefined where there is no `/proc`. */
export async function cpuMsOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The second field is a name in parentheses, which may have spaces.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields && ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
}
