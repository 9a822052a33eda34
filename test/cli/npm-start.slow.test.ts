import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import t from "tap";
import { runCommand } from "../support/commands/cli.js";
import { makeDirectory } from "../support/service.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = join(ROOT, "dist/main.js");
const ENV = { ...process.env, INGEST_GRPC_PORT: "0", INGEST_HTTP_PORT: "0", DATABASE_URL: "" };
const run = promisify(execFile);

interface DevInstance {
  pid: number;
  environment: { DATABASE_URL: string };
}

/** Starts `npm start` and waits for its banner. */
async function startNpm(directory: string): Promise<{ npm: ChildProcess; output: () => string; dev: DevInstance }> {
  const npm = spawn(
    "npm",
    ["start", "--", "--data-dir", join(directory, ".data"), "--broker", "amqp://me:secret@127.0.0.1:1/"],
    {
      cwd: ROOT,
      env: ENV,
      // A process group of its own, as a terminal makes one: its Ctrl-C goes to all in it.
      detached: true,
    },
  );
  let text = "";
  const ready = new Promise<void>((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      text += chunk;
      if (text.includes("Ctrl-C stops it.")) resolve();
    };
    npm.stdout.on("data", onData);
    npm.stderr.on("data", onData);
    npm.once("exit", () => reject(new Error(`npm start ended: ${text}`)));
  });
  await ready;
  const dev = JSON.parse(await readFile(join(directory, ".data/dev.json"), "utf8")) as DevInstance;
  return { npm, output: () => text, dev };
}

/** Whether nothing listens on the port of a URL any more. */
function isClosed(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once("connect", () => resolve(false)).once("error", () => resolve(true));
    socket.once("connect", () => socket.destroy());
  });
}

/** Its data is there for the next test as well. */
const directory = await makeDirectory(t);

t.test("npm start, from spawn to a simulated agent online to a clean Ctrl-C", async (t) => {
  const { npm, output, dev } = await startNpm(directory);
  t.match(output(), /token +ctops_/);
  t.match(output(), /broker +amqp:\/\/127\.0\.0\.1:1\/\n/, "without its password");

  const simulate = run(
    process.execPath,
    [MAIN, "simulate", "--agents", "3", "--interval", "200ms", "--duration", "3s", "--json"],
    { cwd: directory },
  );
  const listed = run(process.execPath, [MAIN, "agent", "list", "--json"], { cwd: directory });
  t.type(JSON.parse((await listed).stdout), Array);
  const summary = JSON.parse((await simulate).stdout);
  t.match(summary, { agents: 3, enrolled: 3, streamsOpen: 3, errors: 0 });
  t.ok(summary.heartbeatsAcknowledged >= 3);
  const agents = JSON.parse(
    (await run(process.execPath, [MAIN, "agent", "list", "--json"], { cwd: directory })).stdout,
  );
  t.equal(agents.length, 3);
  t.same(Object.keys(agents[0]), [
    "id",
    "organisationId",
    "hostname",
    "status",
    "version",
    "os",
    "arch",
    "lastHeartbeatAt",
    "clientCertNotAfter",
    "session",
    "suspectedClone",
    "sameAddressAs",
  ]);
  const token = JSON.parse(
    (
      await run(process.execPath, [MAIN, "token", "create", "--label", "x", "--expires-in", "30d", "--json"], {
        cwd: directory,
      })
    ).stdout,
  );
  t.match(token, { id: String, token: /^ctops_/, label: "x", autoApprove: false, maxUses: null, expiresAt: String });

  await t.rejects(
    run(process.execPath, [MAIN, "dev"], { cwd: directory, env: ENV }),
    { code: 1, stderr: /another instance runs on/ },
    "another instance on the same directory",
  );

  process.kill(-(npm.pid as number), "SIGINT");
  await once(npm.stdout as NodeJS.ReadableStream, "close");
  t.match(output(), /Stopped\.\n$/);
  t.ok(await isClosed(dev.environment.DATABASE_URL), "PostgreSQL is stopped too");
});

t.test("a copy of .data is a backup, and a kill of npm ends all that it started", async (t) => {
  const restored = await makeDirectory(t);
  await run("cp", ["-a", join(directory, ".data"), restored]);
  const { npm, dev } = await startNpm(restored);
  const { stdout } = await run(process.execPath, [MAIN, "agent", "list", "--json"], { cwd: restored });
  t.equal(JSON.parse(stdout).length, 3);
  npm.kill("SIGKILL");
  await once(npm.stdout as NodeJS.ReadableStream, "close");
  t.ok(await isClosed(dev.environment.DATABASE_URL), "PostgreSQL is stopped");
});

t.test("what cannot work ends with one clear line and exit code 1", async (t) => {
  const directory = await makeDirectory(t);
  const notADirectory = join(directory, "file");
  await writeFile(notADirectory, "");
  for (const [path, ...args] of [
    [notADirectory, "dev", "--data-dir"],
    ["/proc/ct-ops", "dev", "--data-dir"],
    ["/proc/ct-ops", "dev-tls", "--out"],
  ] as const) {
    const { exitCode, output, errors } = await runCommand(ENV, [...args, path]);
    t.same({ exitCode, output }, { exitCode: 1, output: "" }, `${args} ${path}`);
    t.match(errors, new RegExp(`^error: .*${path}.*$`), "a directory that cannot be used");
  }
  await t.rejects(
    run(process.execPath, [MAIN, "agent", "list"], { cwd: directory, env: ENV }),
    { code: 1, stderr: /^error: no database: set DATABASE_URL, or start a service/ },
    "no database",
  );
  const refused = await runCommand({ INGEST_GRPC_PORT: "x" }, ["serve"]);
  t.equal(refused.exitCode, 1);
  const lines = refused.errors.split("\n");
  for (const name of [
    "DATABASE_URL",
    "INGEST_TLS_CERT",
    "INGEST_TLS_KEY",
    "INGEST_GRPC_PORT=x",
    "LDAP_ENCRYPTION_KEY",
  ]) {
    t.ok(
      lines.some((line) => line.startsWith(`error: ${name}`)),
      name,
    );
  }
  t.match(await runCommand({}, ["agent", "--bogus"]), { exitCode: 2 }, "usage");
});
