import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writePrivateFile } from "./private-file.js";

/** The data directory of `dev`, in the current directory. */
export const DEFAULT_DATA_DIR = ".data";

const schema = z.object({
  pid: z.number(),
  grpcAddress: z.string(),
  caFile: z.string(),
  token: z.string(),
  /** The variables it was configured with: database, files, secrets. */
  environment: z.record(z.string(), z.string()),
});

/** What other commands need to know of the `dev` instance that runs in this checkout. */
export type DevInstance = z.infer<typeof schema>;

/** Leaves a note for other commands; it holds secrets, so only the user may read it. */
export async function writeDevInstance(dataDir: string, instance: DevInstance): Promise<void> {
  await writePrivateFile(fileIn(dataDir), `${JSON.stringify(instance, null, 2)}\n`);
}

/** Takes the note away. */
export async function removeDevInstance(dataDir: string): Promise<void> {
  await rm(fileIn(dataDir), { force: true });
}

/** The `dev` instance that runs in this directory; undefined when none does. */
export async function findDevInstance(dataDir = DEFAULT_DATA_DIR): Promise<DevInstance | undefined> {
  const text = await readFile(fileIn(dataDir), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parseJson(text));
  return parsed.success && isRunning(parsed.data.pid) ? parsed.data : undefined;
}

/** A machine that lost power may have left half a note: it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fileIn(dataDir: string): string {
  return join(dataDir, "dev.json");
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
