/**
 * Measures registrations per second with a token that approves by itself, beside what signing alone costs: a client
 * certificate (X.509, ECDSA) and a JWT (RS256) each, without network and database. bench/README.md has the figures.
 *
 * The service, PostgreSQL (fsync on) and this process, which sends the load, share the machine.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createAgentKey } from "../dist/agent/agent-key.js";
import { type Connection, openConnection } from "../dist/agent/connection.js";
import { writeDevTls } from "../dist/cli/dev/dev-tls.js";
import { startEmbeddedPostgres } from "../dist/cli/dev/embedded-postgres.js";
import { issueEnrolmentToken } from "../dist/enrolment/tokens/token-issue.js";
import { openAgentCas } from "../dist/identity/agent-ca/agent-cas.js";
import { parseAgentPublicKey } from "../dist/identity/agent-key.js";
import { issueClientCertificate } from "../dist/identity/client-certificates/issue-client-certificate.js";
import { KeyEvents } from "../dist/identity/key-events.js";
import { issueAccessToken } from "../dist/identity/signing-keys/access-token.js";
import { openSigningKeyRing } from "../dist/identity/signing-keys/signing-key-ring.js";
import { createLogger } from "../dist/observe/logger.js";
import { createClosedOutbox } from "../dist/outbox/outbox.js";
import { openDatabase } from "../dist/store/database.js";
import { insertOrganisation } from "../dist/store/enrolment/organisations.js";
import { migrateStandalone } from "../dist/store/migrations/migrate.js";
import { startService } from "./support/service-process.js";

const { values } = parseArgs({
  options: {
    registrations: { type: "string", default: "4000" },
    /** Requests under way at once, over as many connections. */
    concurrency: { type: "string", default: "32" },
  },
});
const registrations = Number(values.registrations);
const concurrency = Number(values.concurrency);
/** Not measured: code is compiled and caches fill. */
const WARM_UP = 500;
const ROUNDS = 7;
const perRound = Math.ceil(registrations / ROUNDS);
const ENCRYPTION_SECRET = "a secret of the benchmark";

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
  const jwtKeyFile = join(directory, "jwt_key.pem");
  const { certFile, keyFile } = await writeDevTls(join(directory, "tls"));
  const service = await startService({
    DATABASE_URL: databaseUrl,
    INGEST_TLS_CERT: certFile,
    INGEST_TLS_KEY: keyFile,
    INGEST_JWT_KEY_FILE: jwtKeyFile,
    INGEST_GRPC_PORT: "0",
    INGEST_HTTP_PORT: "0",
    INGEST_WORKERS: "1",
    INGEST_LOG_LEVEL: "info",
    LDAP_ENCRYPTION_KEY: ENCRYPTION_SECRET,
  });
  try {
    const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
    await insertOrganisation(database.db, { name: "Benchmark", slug: "bench" });
    const request = { label: "bench", autoApprove: true, tags: [{ key: "env", value: "bench" }] };
    const { token } = await issueEnrolmentToken({ database, outbox: createClosedOutbox() }, request);
    const events = new KeyEvents(createLogger("silent"));
    const agentCa = await openAgentCas({ database, encryptionSecret: ENCRYPTION_SECRET, events });
    const signingKeys = await openSigningKeyRing({ db: database.db, path: jwtKeyFile, events });
    await Promise.all([agentCa.close(), signingKeys.close()]);
    await database.close();

    const requests = await prepareRequests(WARM_UP + ROUNDS * perRound, token);
    const publicKey = parseAgentPublicKey(createAgentKey().publicKeyPem);
    const identity = { agentId: "a".repeat(24), organisationId: "b".repeat(24) };
    const sign = async () => {
      await issueClientCertificate(agentCa.current, identity, publicKey);
      await issueAccessToken(signingKeys, { ...identity, publicKey });
    };
    const connections = Array.from({ length: concurrency }, () =>
      openConnection({ address: `localhost:${service.port}`, ca: service.ca }),
    );
    const register = async (_: number, lane: number) => {
      const response = await (connections[lane] as Connection).client.register(requests.pop() ?? {});
      if (response.status !== "active") throw new Error(`registered as ${response.status}: ${response.message}`);
    };
    await inParallel(WARM_UP, sign);
    await inParallel(WARM_UP, register);
    // In turns, since the machine is not equally fast all the time.
    const rounds: { signing: number; enrolled: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const signing = perSecond(perRound, await inParallel(perRound, sign));
      const enrolled = perSecond(perRound, await inParallel(perRound, register));
      rounds.push({ signing, enrolled });
    }
    for (const connection of connections) connection.close();

    const ratios = rounds.map(({ signing, enrolled }) => enrolled / signing);
    const range = (values: number[], digits: number) =>
      `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;
    console.log(`cores ${availableParallelism()}, node ${process.version}, ${concurrency} requests at once`);
    console.log(`${ROUNDS} rounds of ${perRound}; median (range)`);
    console.log(
      `signing alone   ${range(
        rounds.map(({ signing }) => signing),
        0,
      )} /s`,
    );
    console.log(
      `registrations   ${range(
        rounds.map(({ enrolled }) => enrolled),
        0,
      )} /s`,
    );
    console.log(`ratio           ${range(ratios, 2)}`);
  } finally {
    await service.stop();
  }
}

/** Made beforehand: keys and their requests are the agents' work. */
async function prepareRequests(count: number, orgToken: string) {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const key = createAgentKey();
      const ipAddress = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
      return {
        orgToken,
        publicKey: key.publicKeyPem,
        csrDer: await key.createCsr(),
        platformInfo: { os: "linux", arch: "amd64", ipAddresses: [ipAddress, "172.17.0.1", "fe80::1"] },
        agentInfo: { hostname: `bench-${index}`, version: "v1" },
        tags: [],
      };
    }),
  );
}

/** Does something so many times, a bounded number of them at once; returns how long it took, in milliseconds. */
async function inParallel(times: number, work: (index: number, lane: number) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const lanes = Array.from({ length: concurrency }, async (_, lane) => {
    while (next < times) await work(next++, lane);
  });
  await Promise.all(lanes);
  return performance.now() - startedAt;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function perSecond(times: number, durationMs: number): number {
  return (times * 1000) / durationMs;
}
