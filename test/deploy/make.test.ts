import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { cp, mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t from "tap";
import { makeDirectory } from "../support/service.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

t.test("make ingest and make dev-tls, as the platform's documentation names them", async (t) => {
  const directory = await makeDirectory(t);
  for (const name of ["Makefile", "package.json", "dist", "gen"]) {
    await cp(join(ROOT, name), join(directory, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));
  // The build made this dist: it is not made a second time, only asked for.
  const bin = join(directory, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "npm"), '#!/bin/sh\necho "npm $*" >> asked\n', { mode: 0o755 });
  const options = { cwd: directory, env: { ...process.env, PATH: `${bin}:${process.env.PATH}` } };
  await run("make", ["ingest"], options);
  t.equal(await readFile(join(directory, "asked"), "utf8"), "npm run build\n");
  t.match((await run(join(directory, "dist/ingest"), ["--help"])).stdout, /Usage: ct-ops-ingest/);

  const certFile = join(directory, "deploy/dev-tls/server.crt");
  await run("make", ["dev-tls"], options);
  const pem = await readFile(certFile, "utf8");
  const names = new X509Certificate(pem).subjectAltName?.split(", ");
  for (const name of ["DNS:localhost", "DNS:ingest", "IP Address:127.0.0.1"]) t.ok(names?.includes(name), name);
  t.equal((await stat(join(directory, "deploy/dev-tls/server.key"))).mode & 0o777, 0o644);
  await run("make", ["dev-tls"], options);
  t.equal(await readFile(certFile, "utf8"), pem, "one that is there stays");
});
