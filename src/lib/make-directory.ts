import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes a directory and those above it that are missing; one that exists is left as it is.
 *
 * Not `mkdir({ recursive: true })`: where a file system says "no such file" for what cannot be made (`/proc/x`), Node 20
 * tries again for ever, on a thread that keeps even `process.exit` waiting.
 *
 * @param mode of the directories that are made
 * @throws NodeJS.ErrnoException
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (await isDirectory(path)) return;
    const parent = dirname(path);
    // The parent is there, or there is none: it is this directory that cannot be made.
    if (code !== "ENOENT" || parent === path || (await isDirectory(parent))) throw error;
    await makeDirectory(parent, mode);
    await makeDirectory(path, mode);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
