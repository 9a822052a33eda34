import { execFile, spawn } from "node:child_process";
import { chown, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Test } from "tap";
import { freePort } from "../free-port.js";
import { firstExisting, skipWithout } from "../programs.js";
import { makeDirectory } from "../service.js";

const run = promisify(execFile);
/** Where Debian has the programs of each version. */
const DEBIAN = "/usr/lib/postgresql";
const NOBODY = 65_534;

/** A PostgreSQL of the system, with the programs that the embedded one comes without (`pg_dump`, `pg_restore`). */
export interface InstalledPostgres {
  /** Of one of its databases. */
  url: (database: string) => string;
  /** Runs one of its programs. */
  run: (program: string, ...args: string[]) => Promise<void>;
}

/** The folder of its programs, of which all have one version; with a reason to skip the test there is none. */
export async function needPostgresPrograms(): Promise<{ path: string; skip: false | string }> {
  const versions = (await readdir(DEBIAN).catch(() => [])).sort((a, b) => Number(b) - Number(a));
  const found = await firstExisting(versions.map((version) => join(DEBIAN, version, "bin/postgres")));
  if (found !== undefined) return { path: join(found, ".."), skip: false };
  return { path: "", skip: skipWithout("no PostgreSQL server below /usr/lib: install it (Debian: postgresql)") };
}

/** Starts a server with the programs of a folder; it ends with the test. */
export async function startInstalledPostgres(t: Test, programs: string): Promise<InstalledPostgres> {
  const directory = await makeDirectory(t);
  const data = join(directory, "data");
  await mkdir(data);
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if ("uid" in user) for (const path of [directory, data]) await chown(path, NOBODY, NOBODY);
  await run(join(programs, "initdb"), ["-D", data, "-U", "postgres", "--auth=trust", "--no-sync"], user);
  const port = await freePort();
  const settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"];
  const server = spawn(join(programs, "postgres"), ["-D", data, "-p", `${port}`, ...settings], user);
  const ended = new Promise((resolve) => server.once("close", resolve));
  t.teardown(() => {
    server.kill("SIGINT");
    return ended;
  });
  let log = "";
  await new Promise<void>((resolve, reject) => {
    server.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes("ready to accept connections")) resolve();
    });
    server.once("close", () => reject(new Error(log)));
  });
  return {
    url: (database) => `postgres://postgres@127.0.0.1:${port}/${database}`,
    run: async (program, ...args) => {
      const env = { ...process.env, PGHOST: "127.0.0.1", PGPORT: `${port}`, PGUSER: "postgres" };
      await run(join(programs, program), args, { env });
    },
  };
}
