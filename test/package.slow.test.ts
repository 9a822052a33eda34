import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Code } from "@connectrpc/connect";
import t, { type Test } from "tap";
import { createIngestClient } from "../dist/agent/client.js";
import { createTestCsr, createTestKey, enrol, heartbeat } from "./support/agents/field-agent.js";
import { insertQuery, insertRun, readTasks, type TestHost } from "./support/database/work-rows.js";
import { eventually } from "./support/eventually.js";
import { makeDirectory, startTestService } from "./support/service.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);

/** The oldest that a user of the package may have; this repository has the newest. */
const OLDEST_PROTOBUF = "2.7.0";

/** A project that has the packed package installed, and what npm had to say. */
async function makeConsumer(t: Test): Promise<{ directory: string; files: string[]; warnings: string }> {
  const directory = await makeDirectory(t);
  // Without scripts: `prepack` would build what other tests are running.
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", directory], {
    cwd: ROOT,
  });
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  await writeFile(join(directory, "package.json"), '{"type":"module"}');
  const options = ["--prefer-offline", "--no-audit", "--no-fund", "--no-update-notifier"];
  const wanted = [filename, `@bufbuild/protobuf@${OLDEST_PROTOBUF}`, "@types/node@20"];
  const { stderr } = await run("npm", ["install", ...options, ...wanted], { cwd: directory });
  return { directory, files: files.map(({ path }) => path), warnings: stderr };
}

/** Types that did not resolve would be `any`, in which nothing is wrong: so something in each program has to be. */
const CLIENT_PROGRAM = `import { create } from "@bufbuild/protobuf";
import { Agent } from "ct-ops-ingest/agent";
import { type IngestClient, createIngestClient } from "ct-ops-ingest/client";
import { type HeartbeatRequest, HeartbeatRequestSchema } from "ct-ops-ingest/gen/agent/v1/heartbeat_pb.js";
import { IngestService } from "ct-ops-ingest/gen/agent/v1/ingest_pb.js";

const request: HeartbeatRequest = create(HeartbeatRequestSchema, { cpuPercent: 1 });
// @ts-expect-error a number is no text
const wrong: string = request.cpuPercent;
// @ts-expect-error there is no such method
const missing = (client: IngestClient) => client.enrol;
// @ts-expect-error the id is a text: #gen resolves from inside the package too
const id = async (client: IngestClient): Promise<number> => (await client.register({})).agentId;
// @ts-expect-error a certificate without its key
const half = () => createIngestClient({ address: "x", certificate: "x" });
console.log(IngestService.typeName, Agent.name, createIngestClient.name, typeof wrong, missing, id, half);
`;

const SERVICE_PROGRAM = `import { type Config, parseConfig, startApp } from "ct-ops-ingest";
// @ts-expect-error ports are numbers
const port = (config: Config): string => config.grpcPort;
console.log(parseConfig.name, startApp.name, typeof port);
`;

/** Compiles strictly, as a user of the package would. */
async function compile(directory: string, files: readonly string[]): Promise<void> {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const options = [
    "--strict",
    "--skipLibCheck",
    "false",
    "--exactOptionalPropertyTypes",
    "--target",
    "ES2023",
    "--module",
    "NodeNext",
    "--types",
    "node",
  ];
  await run(process.execPath, [tsc, ...options, ...files], { cwd: directory }).catch(({ stdout }) => {
    throw new Error(String(stdout).slice(0, 2_000));
  });
}

t.test("in a project that has the package", async (t) => {
  const { directory, files, warnings } = await makeConsumer(t);

  t.equal(warnings, "", "it installs without a warning");
  const { stdout: found } = await run("find", [".", "-path", "*/@bufbuild/protobuf/package.json"], { cwd: directory });
  t.equal(found, "./node_modules/@bufbuild/protobuf/package.json\n", "with the messages' library that the project has");

  await t.test("what it has, and has not", async (t) => {
    t.ok(files.includes("docs/client.md") && files.includes("drizzle/ingest/meta/_journal.json"));
    t.same(
      files.filter((path) => /_snapshot\.json$|\.tsbuildinfo$|\.config\.ts$/.test(path)),
      [],
    );
    const missing = new Set<string>();
    for (const path of files.filter((path) => path.endsWith(".map"))) {
      const { sources } = JSON.parse(await readFile(join(ROOT, path), "utf8")) as { sources: string[] };
      for (const source of sources) missing.add(join(dirname(path), source));
    }
    for (const path of files) missing.delete(path);
    t.same([...missing], [], "every map leads to a source");
  });

  const examples = (await readFile(join(ROOT, "docs/client.md"), "utf8")).matchAll(/```ts\n(.*?)```/gs);
  const [example = "", agentExample = ""] = [...examples].map(([, code]) => code);
  await writeFile(join(directory, "example.ts"), example);
  await writeFile(join(directory, "agent.ts"), agentExample);
  await writeFile(join(directory, "client.ts"), CLIENT_PROGRAM);
  await writeFile(join(directory, "service.ts"), SERVICE_PROGRAM);
  await compile(directory, ["example.ts", "agent.ts", "client.ts", "service.ts"]);

  await t.test("the example of docs/client.md runs", async (t) => {
    const service = await startTestService(t);
    await writeFile(join(directory, "ca.pem"), service.ca);
    const { stdout } = await run(process.execPath, ["example.js"], {
      cwd: directory,
      env: {
        ...process.env,
        INGEST_ADDRESS: service.address,
        INGEST_CA: "ca.pem",
        INGEST_TOKEN: await service.createToken(),
      },
      timeout: 30_000,
    });
    t.match(stdout, /^active [a-z0-9]{24}\nacknowledged: true\n$/);
  });

  await t.test("the agent of docs/client.md does what it is asked for", async (t) => {
    const service = await startTestService(t);
    await writeFile(join(directory, "ca.pem"), service.ca);
    const where = { INGEST_ADDRESS: service.address, INGEST_CA: "ca.pem", INGEST_TOKEN: await service.createToken() };
    const agent = spawn(process.execPath, ["agent.js"], { cwd: directory, env: { ...process.env, ...where } });
    t.teardown(() => agent.kill("SIGKILL"));
    const [line] = await once(agent.stdout, "data");
    t.match(String(line), /^enrolled [a-z0-9]{24}\n/);
    const { database } = service;
    const [row] = await database.query("select id, organisation_id, agent_id from hosts");
    const host = { hostId: row?.id, organisationId: row?.organisation_id, agentId: row?.agent_id } as TestHost;
    const queryId = await insertQuery(database, host);
    const { taskIds } = await insertRun(database, [host], { type: "service" });
    await eventually(
      async () => [
        ...(await database.query("select status from agent_queries where id = $1", [queryId])),
        ...(await readTasks(database, taskIds)),
      ],
      ([query, task]: { status?: unknown }[]) => query?.status === "complete" && task?.status === "success",
    );
    const ended = once(agent, "exit");
    agent.kill("SIGTERM");
    t.same(await ended, [0, null], "nothing keeps its process");
  });

  await t.test("what a client needs can be imported, with its types", async (t) => {
    const { stdout } = await run(process.execPath, ["client.js"], { cwd: directory });
    t.match(stdout, /^agent\.v1\.IngestService Agent createIngestClient number/);
  });

  await t.test("the service can be imported, with its types", async (t) => {
    const { stdout } = await run(process.execPath, ["service.js"], { cwd: directory });
    t.equal(stdout, "parseConfig startApp function\n");
  });
});

for (const protocol of ["grpc", "grpc-web", "connect"] as const) {
  t.test(`createIngestClient over ${protocol}`, async (t) => {
    const service = await startTestService(t);
    const key = createTestKey();
    const client = createIngestClient({ ...service, protocol });
    t.teardown(() => client.close());
    const request = { publicKey: key.rawPem, csrDer: createTestCsr(key), agentInfo: { hostname: protocol } };
    const answer = await client.register({ ...request, orgToken: await service.createToken() });
    t.match(answer, { status: "active", clientCertPem: /^-----BEGIN CERTIFICATE/ });
    await t.rejects(client.register({ ...request, csrDer: new Uint8Array() }), { code: Code.InvalidArgument });
    await t.rejects(client.renewCertificate({ agentId: answer.agentId }), { code: Code.Unauthenticated });

    const { certificatePem, privateKeyPem, jwt } = await enrol(service, await service.createToken(), {
      agentInfo: { hostname: "other", version: "" },
    });
    const agent = createIngestClient({ ...service, protocol, certificate: certificatePem, key: privateKeyPem });
    t.teardown(() => agent.close());
    async function* heartbeats() {
      yield heartbeat(jwt, { timestampUnix: 0n, uptimeSeconds: 0n, disks: [] }) as { agentId: string };
    }
    const acknowledgements: boolean[] = [];
    for await (const { ok } of agent.heartbeat(heartbeats())) acknowledgements.push(ok);
    t.same(acknowledgements, [true]);
  });
}
