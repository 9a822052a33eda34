import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, cp, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { devTlsFilesIn, writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { copiesOf, readContainerfile, type Stage, valuesOf } from "../support/containerfile.js";
import { createTestDatabase } from "../support/database/database.js";
import { ENCRYPTION_SECRET, makeDirectory } from "../support/service.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const USER = 1001;
const IS_ROOT = process.getuid?.() === 0;
const MAX_MEGABYTES = 60;
const run = promisify(execFile);

const stages = await readContainerfile(join(ROOT, "Containerfile"));
const image = stages.at(-1) as Stage;

function stageOf(name: string): Stage {
  const stage = stages.find((candidate) => candidate.name === name);
  if (stage === undefined) throw new Error(`the Containerfile has no stage ${name}`);
  return stage;
}

/** Makes the tree of the image's /app with what the Containerfile says; what is built comes from this checkout. */
async function makeTree(t: Test): Promise<string> {
  const directory = await makeDirectory(t);
  await chmod(directory, 0o711);
  const installed = join(directory, "dependencies");
  const app = join(directory, "app");
  await mkdir(installed);
  await mkdir(app);
  const dependencies = stageOf("dependencies");
  for (const source of copiesOf(dependencies).flatMap(({ sources }) => sources)) {
    await cp(join(ROOT, source), join(installed, source));
  }
  for (const command of valuesOf(dependencies, "RUN")) {
    await run("sh", ["-c", command], { cwd: installed, env: { ...process.env, npm_config_prefer_offline: "true" } });
  }
  const origins: Record<string, string> = { dependencies: installed, build: ROOT };
  for (const { from, sources, target } of copiesOf(image)) {
    for (const source of sources) {
      const path = join(from === undefined ? ROOT : (origins[from] as string), source.replace(/^\/app\//, ""));
      await cp(path, join(app, target === "./" ? basename(source) : target), { recursive: true });
    }
  }
  await run("chmod", ["-R", "a+rX,a-w", app]);
  t.teardown(() => run("chmod", ["-R", "u+w", app]));
  return app;
}

/** Installed once: it takes most of the time. */
const app = await makeTree(t);

t.test("the production tree runs as 1001 on a read-only code folder, and ends as the image is told to", async (t) => {
  const state = await makeDirectory(t);
  await chmod(state, 0o711);
  const tls = join(state, "tls");
  await writeDevTls(tls);
  await mkdir(join(state, "var"));
  if (IS_ROOT)
    for (const path of [join(state, "var"), ...Object.values(devTlsFilesIn(tls))]) await chown(path, USER, USER);

  const [entrypoint] = valuesOf(image, "ENTRYPOINT").map((value) => JSON.parse(value) as string[]);
  const [command] = valuesOf(image, "CMD").map((value) => JSON.parse(value) as string[]);
  t.same(entrypoint, ["node", "/app/dist/main.js"], "no shell stands between PID 1 and a signal");
  t.same(command, ["serve"]);
  const { url } = await createTestDatabase(t);
  const service = spawn(process.execPath, [join(app, "dist/main.js"), ...(command as string[])], {
    cwd: app,
    env: {
      PATH: process.env.PATH,
      NODE_ENV: "production",
      DATABASE_URL: url,
      INGEST_TLS_CERT: devTlsFilesIn(tls).certFile,
      INGEST_TLS_KEY: devTlsFilesIn(tls).keyFile,
      INGEST_JWT_KEY_FILE: join(state, "var/jwt_key.pem"),
      INGEST_GRPC_PORT: "0",
      INGEST_HTTP_PORT: "0",
      LDAP_ENCRYPTION_KEY: ENCRYPTION_SECRET,
    },
    stdio: ["ignore", "pipe", "pipe"],
    ...(IS_ROOT && { uid: USER, gid: USER }),
  });
  t.teardown(() => service.kill("SIGKILL"));
  let errors = "";
  service.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const exited = once(service, "exit");
  const lines: Record<string, unknown>[] = [];
  for await (const line of createInterface({ input: service.stdout })) {
    lines.push(JSON.parse(line));
    if (lines.at(-1)?.msg === "ready") break;
  }
  const ready = lines.find(({ msg }) => msg === "ready");
  if (ready === undefined) throw new Error(`not ready: ${errors} ${JSON.stringify(lines)}`);
  service.stdout.resume();

  const [health] = valuesOf(image, "HEALTHCHECK");
  const check = health?.replace(/^.*CMD /, "") as string;
  await t.resolves(
    run("sh", ["-c", check], { env: { PATH: process.env.PATH, INGEST_HTTP_PORT: String(ready.httpPort) } }),
    "healthy",
  );
  await t.rejects(
    run("sh", ["-c", check], { env: { PATH: process.env.PATH, INGEST_HTTP_PORT: "1" } }),
    "unhealthy when nothing answers",
  );
  const key = await stat(join(state, "var/jwt_key.pem"));
  t.match(key, { uid: IS_ROOT ? USER : process.getuid?.() });
  t.equal(key.mode & 0o777, 0o600);

  const [stopSignal] = valuesOf(image, "STOPSIGNAL");
  service.kill(stopSignal as NodeJS.Signals);
  t.same(await exited, [0, null]);
});

t.test("the production tree has no development dependency, and is small", async (t) => {
  const lock = JSON.parse(await readFile(join(ROOT, "package-lock.json"), "utf8"));
  const installed: string[] = [];
  const list = async (directory: string) => {
    for (const name of await readdir(join(app, directory))) {
      if (name.startsWith("@")) await list(join(directory, name));
      else if (!name.startsWith(".")) installed.push(join(directory, name));
    }
  };
  await list("node_modules");
  t.ok(installed.length > 10);
  t.same(
    installed.filter((path) => lock.packages[path]?.dev !== undefined),
    [],
    "none is marked so in the lock file",
  );
  const { stdout } = await run("du", ["-sk", app]);
  const megabytes = Number.parseInt(stdout, 10) / 1024;
  t.comment(`${installed.length} packages, ${megabytes.toFixed(1)} MB`);
  t.ok(megabytes < MAX_MEGABYTES, `${megabytes.toFixed(1)} MB`);
});

t.test("the Containerfile says what the platform's volume and health check need", async (t) => {
  const ignore = (await readFile(join(ROOT, ".dockerignore"), "utf8")).split("\n");
  for (const { from, sources } of stages.flatMap(copiesOf)) {
    for (const source of from === undefined ? sources : []) {
      t.ok(ignore.includes(`!${source}`), `.dockerignore lets ${source} through`);
    }
  }
  t.same(valuesOf(image, "USER"), ["1001:1001"]);
  const setup = valuesOf(image, "RUN").join("\n");
  for (const needed of [/--gid 1001/, /--uid 1001/, /install .*\bwget\b/, /chown 1001:1001 .*\/var\/lib\/ct-ops/]) {
    t.match(setup, needed);
  }
  t.same(valuesOf(image, "VOLUME"), ["/var/lib/ct-ops"]);
  t.match(valuesOf(image, "EXPOSE"), ["9443 8080"]);
});
