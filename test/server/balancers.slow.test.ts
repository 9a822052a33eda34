import { readFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import t, { type Test } from "tap";
import { Agent, createAgentKey } from "../../dist/agent/index.js";
import { issueEnrolmentToken } from "../../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { createTestCsr, createTestKey } from "../support/agents/field-agent.js";
import { BALANCER_ADDRESS, type BalancedInstance, startHaproxy, startNginx } from "../support/balancers.js";
import { startProcess, type TestProcess } from "../support/commands/process.js";
import { createTestDatabase, TEMPLATES, type TestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { needProgram } from "../support/programs.js";
import { makeDirectory, serviceEnvironment, writeServiceFiles } from "../support/service.js";

const REFUSALS_PER_MINUTE = 2;
const haproxy = await needProgram("haproxy");
const nginx = await needProgram("nginx", "nginx libnginx-mod-stream");

interface Instance extends BalancedInstance {
  service: TestProcess;
  lines(): Record<string, unknown>[];
}

/** Where an instance will be. */
async function reserve(): Promise<BalancedInstance> {
  return { grpcPort: await freePort(), httpPort: await freePort() };
}

async function startInstance(
  t: Test,
  { directory, database, at }: { directory: string; database: TestDatabase; at: BalancedInstance },
): Promise<Instance> {
  const service = startProcess(t, ["serve"], {
    env: {
      ...serviceEnvironment(directory, database.url),
      INGEST_GRPC_PORT: String(at.grpcPort),
      INGEST_HTTP_PORT: String(at.httpPort),
      INGEST_PROXY_PROTOCOL: "true",
      INGEST_TRUSTED_PROXIES: `${BALANCER_ADDRESS}/32`,
      INGEST_REGISTER_REFUSALS_PER_MINUTE: String(REFUSALS_PER_MINUTE),
    },
  });
  await service.saw(/"msg":"ready"/);
  const lines = () =>
    service
      .output()
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line));
  return { ...at, service, lines };
}

/** Registers with a token that is none, from this address of this machine; says how it was refused. */
async function registerInVain({ port, ca }: { port: number; ca: string }, localAddress: string): Promise<unknown> {
  const socket = connectTcp({ port, host: "127.0.0.1", localAddress });
  const secured = connectTls({ socket, ca, servername: "localhost", ALPNProtocols: ["h2"] });
  const session = connectHttp2("https://localhost", { createConnection: () => secured });
  try {
    const key = createTestKey();
    const call = session.request({
      ":method": "POST",
      ":path": "/agent.v1.IngestService/Register",
      "content-type": "application/json",
    });
    const request = {
      orgToken: "ctops_nothing",
      publicKey: key.rawPem,
      csrDer: createTestCsr(key).toString("base64"),
      agentInfo: { hostname: "unknown" },
    };
    call.end(JSON.stringify(request));
    let text = "";
    for await (const piece of call) text += piece;
    return JSON.parse(text).code;
  } finally {
    session.destroy();
  }
}

const skip = haproxy.skip || nginx.skip;
t.test("behind HAProxy and nginx", { skip }, async (t) => {
  const database = await createTestDatabase(t, TEMPLATES.withAgentCa);
  const directory = await makeDirectory(t);
  await writeServiceFiles(directory);
  const ca = await readFile(join(directory, "tls/server.crt"), "utf8");
  const store = openDatabase({ url: database.url, maxConnections: 1 });
  t.teardown(() => store.close());
  await insertOrganisation(store.db, { name: "Test", slug: "test" });
  const publishing = { database: store, outbox: createClosedOutbox() };
  const { token } = await issueEnrolmentToken(publishing, { label: "test", autoApprove: true, tags: [] });

  const places = [await reserve(), await reserve()] as const;
  const first = await startInstance(t, { directory, database, at: places[0] });
  const balancer = await startHaproxy(t, haproxy.path, places);
  const ports = { ...balancer.ports, nginx: await startNginx(t, nginx.path, places) };

  const agents = Object.entries(ports).map(([name, port]) => {
    const agent = new Agent({
      address: `localhost:${port}`,
      ca,
      key: createAgentKey(),
      token,
      description: { hostname: `behind-${name.toLowerCase()}`, version: "v1", os: "linux", arch: "amd64" },
      readVitals: () => ({ cpuPercent: 1 }),
      heartbeatIntervalMs: 200,
    });
    t.teardown(() => agent.stop());
    return agent;
  });
  const sessions = () =>
    database.query<{ hostname: string; remote_address: string; instance_id: string }>(
      `select a.hostname, s.remote_address, s.instance_id from ingest.agent_sessions s join agents a on a.id = s.agent_id
        where s.closed_at is null and a.last_heartbeat_at is not null order by a.hostname`,
    );

  t.test("the balancer's checks find who is there", async (t) => {
    await eventually(
      async () => (await balancer.checks()).v1,
      (status) => status.join() === "L4OK,L4CON",
    );
    await eventually(
      async () => (await balancer.checks()).v2,
      (status) => status.join() === "L7OK,L4CON",
    );
    await eventually(
      async () => (await balancer.checks()).v2WithTlsCheck,
      (status) => status.join() === "L6OK,L4CON",
    );
    t.pass("as it is");
  });

  t.test("agents enrol and hold their streams, under their own address", async (t) => {
    for (const agent of agents) agent.start();
    const held = await eventually(sessions, ({ length }) => length === agents.length);
    t.same(new Set(held.map(({ remote_address }) => remote_address)), new Set(["127.0.0.1"]));
    const registrations = await database.query("select distinct remote_address from ingest.agent_registrations");
    t.same(registrations, [{ remote_address: "127.0.0.1" }], "on record");
    const told = first.lines().filter(({ msg }) => msg === "agent enrolled");
    t.same(
      told.map(({ remoteAddress }) => remoteAddress),
      agents.map(() => "127.0.0.1"),
      "in the log",
    );
  });

  t.test("refusals count for the address that is behind", async (t) => {
    for (const [index, [name, port]] of Object.entries(ports).entries()) {
      const target = { port, ca };
      const guilty = `127.0.1.${index}`;
      for (let count = 0; count < REFUSALS_PER_MINUTE; count++) {
        t.equal(await registerInVain(target, guilty), "unauthenticated");
      }
      t.equal(await registerInVain(target, guilty), "resource_exhausted", name);
      t.equal(await registerInVain(target, `127.0.2.${index}`), "unauthenticated", "others are not meant");
    }
    await eventually(
      () => database.query("select distinct remote_address from ingest.refusals where remote_address like '127.0.1.%'"),
      ({ length }) => length === Object.keys(ports).length,
    );
  });

  t.test("nobody notices the checks", async (t) => {
    const told = first.lines().filter(({ level, remoteAddress }) => level !== "info" && remoteAddress !== undefined);
    t.same(
      told.filter(({ remoteAddress }) => !/^127\.0\.[12]\./.test(String(remoteAddress))),
      [],
    );
    t.notMatch(first.service.output(), BALANCER_ADDRESS);
    t.same(await database.query("select from ingest.refusals where remote_address = $1", [BALANCER_ADDRESS]), []);
    const metrics = await (await fetch(`http://127.0.0.1:${first.httpPort}/metrics`)).text();
    t.equal(/tls_handshakes_total\{result="failed"\} .*/.exec(metrics)?.[0], undefined);
  });

  t.test("an instance that stops hands its agents over", async (t) => {
    const second = await startInstance(t, { directory, database, at: places[1] });
    await eventually(balancer.checks, ({ v1, v2, v2WithTlsCheck }) =>
      [v1, v2, v2WithTlsCheck].every(([, status]) => /OK$/.test(status ?? "")),
    );
    first.service.kill("SIGTERM");
    t.same(await first.service.exited, { code: 0, signal: null });
    const [instance] = await database.query("select id from ingest.instances order by started_at desc limit 1");
    const held = await eventually(
      sessions,
      (rows) => rows.length === agents.length && rows.every(({ instance_id }) => instance_id === instance?.id),
    );
    t.same(new Set(held.map(({ remote_address }) => remote_address)), new Set(["127.0.0.1"]));
    t.same(
      [...first.lines(), ...second.lines()].filter(({ msg }) => /offline/.test(String(msg))),
      [],
      "and nobody was shown offline meanwhile",
    );
  });
});
