import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes a directory and those above it that are missing; one that exists is left as it is.
 *
 * Not `mkdir({ recursive: true })`: where a file system says "no such file" for what cannot be made (`/proc/x`), Node 20
 * tries again for ever, on a thread that keeps even `process.exit` waiting.
 *
 * @param mode of the directories that are made; without it, nobody but the owner may write in them: keys are in some
 * @throws NodeJS.ErrnoException
 */
export async function makeDirectory(path: string, mode = 0o755): Promise<void> {
  const error = await tryToMake(path, mode);
  if (error === undefined) return;
  const parent = dirname(path);
  if (error.code !== "ENOENT" || parent === path) throw error;
  // If the parent is there, somebody else has just made it, or it is this directory that cannot be made.
  if (!(await isDirectory(parent))) await makeDirectory(parent, mode);
  const last = await tryToMake(path, mode);
  if (last !== undefined) throw last;
}

/** Why a directory is not there. */
async function tryToMake(path: string, mode: number): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(path, mode);
    return undefined;
  } catch (error) {
    return (await isDirectory(path)) ? undefined : (error as NodeJS.ErrnoException);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
