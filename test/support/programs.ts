import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** A program that a test needs; with a reason to skip the test there is none. */
export interface MaybeProgram {
  path: string;
  skip: false | string;
}

/** Looks for a program that not every machine has. */
export async function needProgram(name: string, debianPackages = name): Promise<MaybeProgram> {
  const path = await findProgram(name);
  if (path !== undefined) return { path, skip: false };
  return { path: name, skip: skipWithout(`no ${name}: install it (Debian: apt-get install ${debianPackages})`) };
}

/**
 * The reason to skip a test whose program is missing.
 *
 * @throws Error where `INGEST_TEST_PROGRAMS` is `required`, as in CI: what is skipped there is tried nowhere
 */
export function skipWithout(reason: string): string {
  if (process.env.INGEST_TEST_PROGRAMS === "required") throw new Error(reason);
  return reason;
}

/** The path of a program; undefined when there is none. */
export async function findProgram(name: string): Promise<string | undefined> {
  // Debian puts daemons where only root looks.
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"];
  return firstExisting(directories.map((directory) => join(directory, name)));
}

/** The first of these paths at which there is something. */
export async function firstExisting(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) return path;
  }
  return undefined;
}
