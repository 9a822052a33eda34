import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AgentIdentity, createAgentKey, enrol } from "../../dist/agent/index.js";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { startEmbeddedPostgres } from "../../dist/cli/dev/embedded-postgres.js";
import { issueEnrolmentToken } from "../../dist/enrolment/tokens/token-issue.js";
import { createClosedOutbox } from "../../dist/outbox/outbox.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { migrateStandalone } from "../../dist/store/migrations/migrate.js";
import type { ServiceProcess } from "./service-process.js";

const ENROLMENTS_AT_ONCE = 16;

/** What a service is measured on. */
export interface Stage {
  /** Removed at the end. */
  directory: string;
  databaseUrl: string;
  /** The process that PostgreSQL's others come from. */
  postgresPid: number;
  /** What a service is started with. */
  env: Record<string, string>;
  /** Of a token that approves by itself. */
  token: string;
}

/**
 * Starts a PostgreSQL (fsync on), migrates it, and removes all of it when what runs on it is over.
 *
 * @param settings of PostgreSQL
 */
export async function onStage(
  run: (stage: Stage) => Promise<void>,
  settings: Record<string, string> = {},
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "ct-ops-ingest-bench-"));
  try {
    // PostgreSQL runs as another user when this is root.
    await chmod(directory, 0o711);
    const postgres = await startEmbeddedPostgres({ dataDir: join(directory, "data"), settings });
    try {
      const databaseUrl = postgres.url();
      await migrateStandalone(databaseUrl);
      const { certFile, keyFile } = await writeDevTls(join(directory, "tls"));
      const env = {
        DATABASE_URL: databaseUrl,
        INGEST_TLS_CERT: certFile,
        INGEST_TLS_KEY: keyFile,
        INGEST_JWT_KEY_FILE: join(directory, "jwt_key.pem"),
        INGEST_GRPC_PORT: "0",
        INGEST_HTTP_PORT: "0",
        INGEST_WORKERS: "1",
        INGEST_LOG_LEVEL: "info",
        LDAP_ENCRYPTION_KEY: "a secret of the benchmark",
      };
      const [postgresPid] = (await readFile(join(directory, "data/postmaster.pid"), "utf8")).split("\n").map(Number);
      await run({
        directory,
        databaseUrl,
        postgresPid: postgresPid ?? 0,
        env,
        token: await createToken(databaseUrl),
      });
    } finally {
      await postgres.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function createToken(databaseUrl: string): Promise<string> {
  const database = openDatabase({ url: databaseUrl, maxConnections: 1 });
  await insertOrganisation(database.db, { name: "Benchmark", slug: "bench" });
  const publishing = { database, outbox: createClosedOutbox() };
  const { token } = await issueEnrolmentToken(publishing, { label: "bench", autoApprove: true, tags: [] });
  await database.close();
  return token;
}

/** Enrols agents whose hostnames begin so. */
export async function enrolAll(
  { port, ca }: ServiceProcess,
  { token, prefix, count }: { token: string; prefix: string; count: number },
): Promise<AgentIdentity[]> {
  const address = { address: `localhost:${port}`, ca, connectTimeoutMs: 120_000 };
  const identities: AgentIdentity[] = [];
  let next = 0;
  const lanes = Array.from({ length: ENROLMENTS_AT_ONCE }, async () => {
    for (let index = next++; index < count; index = next++) {
      const description = { hostname: `${prefix}-${index}`, version: "v1", os: "linux", arch: "amd64" };
      identities[index] = await enrol({ ...address, key: createAgentKey(), token, description });
    }
  });
  await Promise.all(lanes);
  return identities;
}
