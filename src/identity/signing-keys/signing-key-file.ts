import { randomBytes } from "node:crypto";
import { chown, link, open, readFile, realpath, rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { IngestError } from "../../errors.js";
import { makeDirectory } from "../../lib/make-directory.js";

/**
 * Reads the key file; undefined when there is none.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function readSigningKeyFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw unusable(path, "cannot be read", cause);
  }
}

/**
 * Writes the key file (mode 0600) where there is none. Of processes that do so at the same moment one succeeds.
 *
 * @returns what the file holds then
 * @throws IngestError `unusable_configuration`
 */
export async function createSigningKeyFile(path: string, pem: string): Promise<string> {
  try {
    await makeDirectory(dirname(path));
    const temporary = await writeBeside(path, pem);
    try {
      // Unlike rename, link never replaces a file that another process has put there meanwhile.
      await link(temporary, path);
    } finally {
      await unlink(temporary);
    }
    return pem;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return readFile(path, "utf8");
    throw unusable(path, "is missing and cannot be written", cause);
  }
}

/**
 * Replaces the key file in one step; whoever reads it finds the old key or the new one. Owner and mode stay, so that a
 * service which runs as another user can go on reading it.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function replaceSigningKeyFile(path: string, pem: string): Promise<void> {
  try {
    const target = await realpath(path);
    const { uid, gid, mode } = await stat(target);
    const temporary = await writeBeside(target, pem, mode & 0o777);
    try {
      const made = await stat(temporary);
      if (made.uid !== uid || made.gid !== gid) await chown(temporary, uid, gid);
      await rename(temporary, target);
    } catch (error) {
      await unlink(temporary);
      throw error;
    }
  } catch (cause) {
    throw unusable(path, "cannot be replaced", cause);
  }
}

async function writeBeside(path: string, pem: string, mode = 0o600): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(temporary, "wx", mode);
  try {
    // The umask took something of it: a group that may read the old key would be locked out of the new one.
    await file.chmod(mode);
    await file.writeFile(pem);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function unusable(path: string, why: string, cause: unknown): IngestError {
  const message = `INGEST_JWT_KEY_FILE: ${path} ${why}: ${(cause as Error).message}`;
  return new IngestError("unusable_configuration", message, { cause });
}
