import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { runCli } from "../../dist/cli/program.js";
import { issueEnrolmentToken } from "../../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { enrol, heartbeat, openLiveStream } from "../support/agents/field-agent.js";
import { startProcess, type TestProcess } from "../support/commands/process.js";
import { connectTo, createTestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { makeDirectory, serviceEnvironment, type TestService, writeServiceFiles } from "../support/service.js";
import { startSilentServer } from "../support/wire/silent-server.js";

/** Far below what would be waited for otherwise. */
const AT_ONCE_MS = 4_000;

async function endsWithin(t: Test, process: TestProcess, code: number, name: string): Promise<void> {
  const toldAt = performance.now();
  t.same(await process.exited, { code, signal: null }, name);
  t.ok(performance.now() - toldAt < AT_ONCE_MS, `${name}: it took ${performance.now() - toldAt} ms`);
}

async function createScene(t: Test, databaseUrl?: string) {
  const database = await createTestDatabase(t);
  const directory = await makeDirectory(t);
  await writeServiceFiles(directory);
  return { database, directory, env: serviceEnvironment(directory, databaseUrl ?? database.url) };
}

t.test("serve is ended while it waits for the lock of the migrations", async (t) => {
  const { database, env } = await createScene(t);
  const holder = await connectTo(t, database.url);
  await holder.query("select pg_advisory_lock(hashtextextended('ct-ops-ingest/migrate', 0))");
  const process = startProcess(t, ["serve"], { env });
  const waiting = () =>
    database.query(
      "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'",
    );
  await eventually(waiting, (rows) => rows.length === 1);
  process.kill("SIGTERM");
  await endsWithin(t, process, 0, "what it was told is done");
  t.match(process.output(), /"reason":"SIGTERM","state":"starting"/);
});

t.test("serve is ended while its database says nothing", async (t) => {
  const silent = await startSilentServer(t);
  const { env } = await createScene(t, `postgres://127.0.0.1:${silent.port}/x?sslmode=disable`);
  const connection = silent.connection();
  const process = startProcess(t, ["serve"], { env });
  await connection;
  process.kill("SIGINT");
  await endsWithin(t, process, 0, "what it was told is done");
});

t.test("a stop that hangs is bounded as a whole, and a second signal ends it at once", async (t) => {
  const { database, directory, env } = await createScene(t);
  const store = openDatabase({ url: database.url, maxConnections: 1 });
  t.teardown(() => store.close());
  await insertOrganisation(store.db, { name: "Test", slug: "test" });
  const { token } = await issueEnrolmentToken(
    { database: store, outbox: createClosedOutbox() },
    { label: "test", autoApprove: true, tags: [] },
  );
  const ca = await readFile(join(directory, "tls/server.crt"), "utf8");
  const start = async (timeout: string) => {
    const process = startProcess(t, ["serve"], { env: { ...env, INGEST_DRAIN_TIMEOUT: timeout } });
    await process.saw(/"ready"/);
    const address = `localhost:${/"grpcPort":(\d+)/.exec(process.output())?.[1]}`;
    const service = { address, ca } as TestService;
    const agent = await enrol(service, token);
    const stream = await openLiveStream(service, agent);
    t.teardown(() => stream.destroy());
    return { process, stream, agent };
  };
  const services = [await start("1s"), await start("1h")] as const;
  const [bounded, patient] = [services[0].process, services[1].process];
  const holder = await connectTo(t, database.url);
  await holder.query("begin");
  // What was read cannot be stored, and is not given up for the stop.
  await holder.query("lock table agents, hosts in access exclusive mode");
  for (const { stream, agent } of services) stream.send(heartbeat(agent.agentId));
  // Whoever only reads, now and then, waits too.
  const writersThatWait = `select from pg_locks where not granted and mode <> 'AccessShareLock'
    and database = (select oid from pg_database where datname = current_database())`;
  await eventually(
    () => database.query(writersThatWait),
    ({ length }) => length >= services.length,
  );

  bounded.kill("SIGTERM");
  await endsWithin(t, bounded, 1, "the deadline");
  t.match(bounded.output(), /"step":"heartbeat sessions".*could not be closed in time/);
  t.match(bounded.output(), /error: not everything could be closed/);

  patient.kill("SIGTERM");
  await patient.saw(/shutting down/);
  patient.kill("SIGTERM");
  await endsWithin(t, patient, 1, "the second signal");
});

const COMMANDS = [
  ["agent", "list"],
  ["agent", "show", "x"],
  ["agent", "approve", "x"],
  ["agent", "revoke", "x"],
  ["agent", "unrevoke", "x"],
  ["agent", "delete", "x"],
  ["token", "list"],
  ["token", "create", "--label", "x"],
  ["token", "revoke", "x"],
  ["org", "list"],
  ["org", "create", "x"],
  ["ca", "list"],
  ["ca", "rotate"],
  ["keys", "list"],
  ["keys", "rotate"],
  ["migrate"],
  ["migrate", "--standalone"],
  ["doctor"],
];

t.test("every command is ended by Ctrl-C, also one that waits for a silent database", async (t) => {
  const silent = await startSilentServer(t);
  const { env } = await createScene(t, `postgres://127.0.0.1:${silent.port}/x?sslmode=disable`);
  for (const args of COMMANDS) {
    const told = new AbortController();
    const errors: string[] = [];
    const context = {
      env,
      user: "tester",
      signal: told.signal,
      secondSignal: new AbortController().signal,
      print: () => {},
      warn: (line: string) => void errors.push(line),
      progress: () => {},
    };
    const connection = silent.connection();
    const running = runCli(args, context);
    const early = await Promise.race([connection, running]);
    t.equal(early, undefined, `it waits ${errors}`);
    told.abort("SIGINT");
    t.equal(await running, 130, args.join(" "));
  }
  const connection = silent.connection();
  const process = startProcess(t, ["agent", "list"], { env });
  await connection;
  process.kill("SIGINT");
  await endsWithin(t, process, 130, "nor does what is open keep the process");
});

t.test("simulate is ended while the service says nothing", async (t) => {
  const silent = await startSilentServer(t);
  const { directory, env } = await createScene(t);
  const ca = ["--ca", join(directory, "tls/server.crt")];
  const args = ["simulate", "--agents", "1", "--address", `localhost:${silent.port}`, ...ca, "--token", "x"];
  const connection = silent.connection();
  const process = startProcess(t, args, { env });
  await connection;
  process.kill("SIGINT");
  await endsWithin(t, process, 1, "no agent could enrol");
});

t.test("Ctrl-C twice within 100 ms leaves no PostgreSQL behind, whenever it is pressed", async (t) => {
  const directory = await makeDirectory(t);
  const env = { INGEST_GRPC_PORT: "0", INGEST_HTTP_PORT: "0" };
  const start = () => startProcess(t, ["dev", "--data-dir", join(directory, ".data")], { env, cwd: directory });
  const moments: [string, (process: TestProcess) => Promise<unknown>][] = [
    ["while the data directory is made", (process) => process.saw(/creating a PostgreSQL/)],
    ["once it is ready", (process) => process.saw(/Ctrl-C stops it/)],
    [
      "while PostgreSQL starts",
      () =>
        eventually(() => readFile(join(directory, ".data/postgres/postmaster.pid"), "utf8").catch(() => ""), Boolean),
    ],
  ];
  for (const [moment, reached] of moments) {
    const process = start();
    await reached(process);
    process.kill("SIGINT");
    setTimeout(() => process.kill("SIGINT"), 50);
    await process.exited;
    const { stdout } = await promisify(execFile)("ps", ["-eo", "args"]);
    t.same(
      stdout.split("\n").filter((line) => line.includes(directory)),
      [],
      moment,
    );
  }
});
