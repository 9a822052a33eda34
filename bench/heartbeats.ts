/**
 * Measures acknowledged, durable heartbeats at saturation: our own handler of gRPC streams beside Connect's, two services
 * on one database, in turns. bench/README.md has the figures.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type AgentIdentity, createAgentKey, enrol } from "../dist/agent/index.js";
import { writeDevTls } from "../dist/cli/dev/dev-tls.js";
import { startEmbeddedPostgres } from "../dist/cli/dev/embedded-postgres.js";
import { issueEnrolmentToken } from "../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../dist/outbox/outbox.js";
import { openDatabase } from "../dist/store/database.js";
import { insertOrganisation } from "../dist/store/enrolment/organisations.js";
import { migrateStandalone } from "../dist/store/migrations/migrate.js";
import { cpuMsOf } from "./support/cpu-time.js";
import type { LoadResult, LoadTarget, LoadTurn } from "./support/heartbeat-load.js";
import { type ServiceProcess, startService } from "./support/service-process.js";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "100" },
    turns: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
  },
});
const [agents, turns, seconds] = [Number(values.agents), Number(values.turns), Number(values.seconds)];
const WARM_UP_MS = 500;
const ENROLMENTS_AT_ONCE = 16;
const LOAD = fileURLToPath(new URL("support/heartbeat-load.js", import.meta.url));
const CONNECTS_HANDLER = fileURLToPath(new URL("support/connects-handler.js", import.meta.url));

/** One turn of one service. */
interface Turn {
  /** Acknowledged in a second. */
  rate: number;
  /** Processor time of the service for a heartbeat, in milliseconds. */
  serviceMs: number;
  /** The load's own share of a processor. */
  load: number;
}

const directory = await mkdtemp(join(tmpdir(), "ct-ops-ingest-bench-"));
try {
  // PostgreSQL runs as another user when this is root.
  await chmod(directory, 0o711);
  const postgres = await startEmbeddedPostgres({ dataDir: join(directory, "data") });
  try {
    await migrateStandalone(postgres.url());
    await measure(postgres.url());
  } finally {
    await postgres.stop();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function measure(databaseUrl: string): Promise<void> {
  const { certFile, keyFile } = await writeDevTls(join(directory, "tls"));
  const env = {
    DATABASE_URL: databaseUrl,
    INGEST_TLS_CERT: certFile,
    INGEST_TLS_KEY: keyFile,
    INGEST_JWT_KEY_FILE: join(directory, "jwt_key.pem"),
    INGEST_GRPC_PORT: "0",
    INGEST_HTTP_PORT: "0",
    LDAP_ENCRYPTION_KEY: "a secret of the benchmark",
    INGEST_LOG_LEVEL: "info",
  };
  const ours = await startService(env);
  const connects = await startService(env, ["--import", CONNECTS_HANDLER]);
  try {
    // Half of the agents each: an agent has one stream at a time, on whatever service.
    const identities = await enrolAll(databaseUrl, ours, 2 * agents);
    const loads = {
      ours: await startLoad(ours, identities.slice(0, agents)),
      connects: await startLoad(connects, identities.slice(agents)),
    };
    const of = { ours: [] as Turn[], connects: [] as Turn[] };
    for (let turn = 0; turn < turns; turn++) {
      of.ours.push(await takeTurn(ours, loads.ours));
      of.connects.push(await takeTurn(connects, loads.connects));
    }
    for (const load of Object.values(loads)) load.disconnect();
    console.log(
      `cores ${availableParallelism()}, node ${process.version}, ${agents} agents, ${turns} turns of ${seconds} s`,
    );
    print("our handler", of.ours);
    print("Connect's", of.connects);
    const ratios = of.ours.map(({ rate }, turn) => rate / (of.connects[turn]?.rate ?? 0));
    const costs = of.ours.map(({ serviceMs }, turn) => (of.connects[turn]?.serviceMs ?? 0) / serviceMs);
    console.log(
      `rate, ours by Connect's: ${spread(ratios, 2)}; processor time, Connect's by ours: ${spread(costs, 2)}`,
    );
  } finally {
    await ours.stop();
    await connects.stop();
  }
}

function print(name: string, of: readonly Turn[]): void {
  const rate = spread(
    of.map((turn) => turn.rate),
    0,
  );
  const serviceMs = spread(
    of.map((turn) => turn.serviceMs),
    3,
  );
  const share = spread(
    of.map((turn) => turn.load * 100),
    0,
  );
  console.log(
    `${name}: ${rate} heartbeats/s, ${serviceMs} ms of the service's processor each, load ${share} % of a core`,
  );
}

/** The median, and the range. */
function spread(figures: readonly number[], digits: number): string {
  const sorted = [...figures].sort((a, b) => a - b);
  const [median = 0, least = 0, most = 0] = [sorted[sorted.length >> 1], sorted[0], sorted.at(-1)];
  return `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}

/** Starts a process that holds these agents, and waits until their streams are open. */
async function startLoad({ port, ca }: ServiceProcess, identities: readonly AgentIdentity[]): Promise<ChildProcess> {
  const file = join(directory, `identities-${port}.json`);
  await writeFile(file, JSON.stringify(identities));
  const child = fork(LOAD, [file]);
  child.send({ port, ca } satisfies LoadTarget);
  await once(child, "message");
  return child;
}

async function takeTurn(service: ServiceProcess, load: ChildProcess): Promise<Turn> {
  load.send({ warmUpMs: WARM_UP_MS, measureMs: seconds * 1_000 } satisfies LoadTurn);
  await once(load, "message");
  const before = (await cpuMsOf(service.pid)) ?? Number.NaN;
  await once(load, "message");
  const serviceMs = ((await cpuMsOf(service.pid)) ?? Number.NaN) - before;
  const [result] = (await once(load, "message")) as [LoadResult];
  const { acknowledged, elapsedMs, cpuMs } = result;
  return { rate: (acknowledged * 1_000) / elapsedMs, serviceMs: serviceMs / acknowledged, load: cpuMs / elapsedMs };
}

async function enrolAll(databaseUrl: string, { port, ca }: ServiceProcess, count: number): Promise<AgentIdentity[]> {
  const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
  await insertOrganisation(database.db, { name: "Benchmark", slug: "bench" });
  const { token } = await issueEnrolmentToken(
    { database, outbox: createClosedOutbox() },
    { label: "bench", autoApprove: true, tags: [] },
  );
  await database.close();
  const identities: AgentIdentity[] = [];
  const lanes = Array.from({ length: ENROLMENTS_AT_ONCE }, async () => {
    while (identities.length < count) {
      const index = identities.length;
      identities.length += 1;
      const description = { hostname: `bench-${index}`, version: "v1", os: "linux", arch: "amd64" };
      identities[index] = await enrol({ address: `localhost:${port}`, ca, key: createAgentKey(), token, description });
    }
  });
  await Promise.all(lanes);
  return identities;
}
