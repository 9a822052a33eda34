import { open } from "node:fs/promises";

/** Writes a file that only its owner may read, also where there was one that others may read, or a strange umask. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}
