import { readdir, readFile } from "node:fs/promises";

/** As Linux counts it in `/proc`, whatever the machine. */
const TICKS_PER_SECOND = 100;

/** The processor time that a process has used, in milliseconds; undefined where there is no `/proc`. */
export async function cpuMsOf(pid: number): Promise<number | undefined> {
  const fields = await fieldsOf(pid);
  return fields && toMs(fields.slice(11, 13));
}

/** The same of a process and those that it started, those included that have ended. */
export async function cpuMsOfFamily(pid: number): Promise<number> {
  const names = await readdir("/proc").catch(() => []);
  const found = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map((name) => fieldsOf(Number(name))));
  const children = found.filter((fields) => Number(fields?.[1]) === pid).map((fields) => toMs(fields?.slice(11, 13)));
  return [toMs((await fieldsOf(pid))?.slice(11, 15)), ...children].reduce((sum, ms) => sum + ms, 0);
}

/** What stands in `/proc/PID/stat` from the third field on. */
async function fieldsOf(pid: number): Promise<string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The second field is a name in parentheses, which may have spaces.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function toMs(ticks: readonly string[] = []): number {
  return (ticks.reduce((sum, count) => sum + Number(count), 0) * 1_000) / TICKS_PER_SECOND;
}
