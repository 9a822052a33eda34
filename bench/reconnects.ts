/**
 * Measures what it costs when all agents come back at once: the statements that PostgreSQL is sent, and how long it takes
 * until every agent has a heartbeat acknowledged. bench/README.md has the figures.
 *
 * The service, PostgreSQL (fsync on) and this process, which holds the agents, share the machine.
 */
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type AgentIdentity,
  createAgentKey,
  enrol,
  type HeartbeatStream,
  openHeartbeatStream,
  type ServiceAddress,
} from "../dist/agent/index.js";
import { writeDevTls } from "../dist/cli/dev/dev-tls.js";
import { startEmbeddedPostgres } from "../dist/cli/dev/embedded-postgres.js";
import { issueEnrolmentToken } from "../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../dist/outbox/outbox.js";
import { openDatabase } from "../dist/store/database.js";
import { insertOrganisation } from "../dist/store/enrolment/organisations.js";
import { migrateStandalone } from "../dist/store/migrations/migrate.js";
import { startService } from "./support/service-process.js";

const { values } = parseArgs({ options: { agents: { type: "string", default: "1000" } } });
const agents = Number(values.agents);
const ROUNDS = 3;
const ENROLMENTS_AT_ONCE = 16;

const directory = await mkdtemp(join(tmpdir(), "ct-ops-ingest-bench-"));
const logFile = join(directory, "postgres.log");
try {
  // PostgreSQL runs as another user when this is root.
  await chmod(directory, 0o711);
  const postgres = await startEmbeddedPostgres({
    dataDir: join(directory, "data"),
    settings: { log_statement: "all" },
  });
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
  const service = await startService({
    DATABASE_URL: databaseUrl,
    INGEST_TLS_CERT: certFile,
    INGEST_TLS_KEY: keyFile,
    INGEST_JWT_KEY_FILE: join(directory, "jwt_key.pem"),
    INGEST_GRPC_PORT: "0",
    INGEST_HTTP_PORT: "0",
    LDAP_ENCRYPTION_KEY: "a secret of the benchmark",
  });
  try {
    const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
    await insertOrganisation(database.db, { name: "Benchmark", slug: "bench" });
    const { token } = await issueEnrolmentToken(
      { database, outbox: createClosedOutbox() },
      { label: "bench", autoApprove: true, tags: [] },
    );
    await database.close();
    // All at once: the last one waits for the handshakes of all others.
    const address = { address: `localhost:${service.port}`, ca: service.ca, connectTimeoutMs: 300_000 };
    const identities = await enrolAll(address, token);
    let streams = await openAll(address, identities);
    console.log(`cores ${availableParallelism()}, node ${process.version}, ${agents} agents`);
    for (let round = 1; round <= ROUNDS; round++) {
      const before = await countStatements();
      const startedAt = performance.now();
      for (const stream of streams) stream.destroy();
      streams = await openAll(address, identities);
      const tookMs = performance.now() - startedAt;
      const after = await countStatements();
      console.log(`round ${round}: back after ${(tookMs / 1000).toFixed(1)} s, ${after - before} statements`);
    }
    for (const stream of streams) stream.destroy();
  } finally {
    await service.stop();
  }
}

async function enrolAll(service: ServiceAddress, token: string): Promise<AgentIdentity[]> {
  const identities: AgentIdentity[] = [];
  const lanes = Array.from({ length: ENROLMENTS_AT_ONCE }, async () => {
    while (identities.length < agents) {
      const index = identities.length;
      identities.length += 1;
      const description = { hostname: `bench-${index}`, version: "v1", os: "linux", arch: "amd64" };
      identities[index] = await enrol({ ...service, key: createAgentKey(), token, description });
    }
  });
  await Promise.all(lanes);
  return identities;
}

/** Opens a stream for each, and resolves when each has a heartbeat acknowledged. */
async function openAll(service: ServiceAddress, identities: readonly AgentIdentity[]): Promise<HeartbeatStream[]> {
  const streams = identities.map((identity) => openHeartbeatStream(service, identity));
  await Promise.all(streams.map((stream) => stream.send({ cpuPercent: 1, uptimeSeconds: 1n })));
  return streams;
}

/** All that PostgreSQL was sent so far, `begin` and `commit` included. */
async function countStatements(): Promise<number> {
  const log = await readFile(logFile, "utf8");
  return log.match(/ LOG: {2}(statement|execute [^:]*): /g)?.length ?? 0;
}
