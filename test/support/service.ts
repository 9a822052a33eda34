import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { startApp } from "../../dist/app/app.js";
import type { AppTiming } from "../../dist/app/app-timing.js";
import { devTlsFilesIn } from "../../dist/cli/dev/dev-tls.js";
import { parseConfig } from "../../dist/config/config.js";
import { issueEnrolmentToken, type TokenRequest } from "../../dist/enrolment/tokens/token-issue.js";
import { createLogger, type Logger } from "../../dist/observe/logger.js";
import { createClosedOutbox, type PublishingDatabase } from "../../dist/outbox/outbox.js";
import { type Database, openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { createTestDatabase, TEMPLATES, type TestDatabase } from "./database/database.js";
import { ENCRYPTION_SECRET, fixtureFile } from "./fixtures.js";

export { ENCRYPTION_SECRET };

/** What an agent does in hours a test does in a second. */
const UNPACED_LIMIT = { perMinute: Number.POSITIVE_INFINITY, burst: 1 };
const UNPACED = { calls: UNPACED_LIMIT, registrations: UNPACED_LIMIT, heartbeats: UNPACED_LIMIT };

/** A service that runs in the test's process, on free ports and a database of its own. */
export interface TestService {
  grpcPort: number;
  httpPort: number;
  /** `localhost:<port>` of the RPC listener. */
  address: string;
  /** PEM of the CA that agents check the server certificate against. */
  ca: string;
  directory: string;
  env: Record<string, string>;
  database: TestDatabase;
  /** The product's own access to the same database. */
  store: Database;
  /** The same, as operators' commands have it; nothing is published. */
  publishing: PublishingDatabase;
  createToken(request?: Partial<TokenRequest>): Promise<string>;
  close(): Promise<void>;
}

/** How a test's service is started. */
export interface TestServiceOptions {
  /** Starts a second instance beside this one, or, on its port, in its place. */
  of?: TestService;
  grpcPort?: number;
  /** Starts on this database. */
  on?: TestDatabase;
  /** Instead of what a service is configured with otherwise. */
  env?: Record<string, string>;
  timing?: AppTiming;
  logger?: Logger;
}

/** Starts a service; what it opened ends with the test. */
export async function startTestService(t: Test, options: TestServiceOptions = {}): Promise<TestService> {
  const { of, grpcPort = 0 } = options;
  const database = of?.database ?? options.on ?? (await createDatabase(t, options.env));
  const directory = of?.directory ?? (await makeDirectory(t));
  if (of === undefined) await writeServiceFiles(directory);
  // On a database that was made elsewhere it makes its own.
  if (options.on !== undefined) await rm(join(directory, "jwt_key.pem"), { force: true });
  const env = {
    ...serviceEnvironment(directory, database.url),
    INGEST_GRPC_PORT: String(grpcPort),
    INGEST_LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? "silent",
    // A test that cuts a stream sees its agent offline at once.
    INGEST_OFFLINE_GRACE: "0s",
    ...options.env,
  };
  const parsed = parseConfig(env);
  if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
  const store = openDatabase({ url: database.url, maxConnections: 2 });
  t.teardown(() => store.close());
  const publishing = { database: store, outbox: createClosedOutbox() };
  const logger = options.logger ?? createLogger(parsed.config.logLevel);
  const app = await startApp(parsed.config, logger, { timing: { pace: UNPACED, ...options.timing } });
  t.teardown(() => app.close());
  if (of === undefined) await insertOrganisation(store.db, { name: "Test", slug: "test" });
  return {
    grpcPort: app.grpcPort,
    httpPort: app.httpPort,
    address: `localhost:${app.grpcPort}`,
    ca: await readFile(devTlsFilesIn(join(directory, "tls")).certFile, "utf8"),
    directory,
    env,
    database,
    store,
    publishing,
    createToken: async (request) =>
      (await issueEnrolmentToken(publishing, { label: "test", autoApprove: true, tags: [], ...request })).token,
    close: () => app.close(),
  };
}

/** A service's configuration, on free ports, with its files in this directory. */
export function serviceEnvironment(directory: string, databaseUrl: string): Record<string, string> {
  const { certFile, keyFile } = devTlsFilesIn(join(directory, "tls"));
  return {
    DATABASE_URL: databaseUrl,
    INGEST_TLS_CERT: certFile,
    INGEST_TLS_KEY: keyFile,
    INGEST_JWT_KEY_FILE: join(directory, "jwt_key.pem"),
    INGEST_GRPC_PORT: "0",
    INGEST_HTTP_PORT: "0",
    INGEST_WORKERS: "1",
    INGEST_COMMIT_DELAY: "0",
    LDAP_ENCRYPTION_KEY: ENCRYPTION_SECRET,
  };
}

/** Writes the files that {@link serviceEnvironment} names. They are copied: a new key would take a third of a start. */
export async function writeServiceFiles(directory: string): Promise<void> {
  for (const name of ["tls", "jwt_key.pem"]) await cp(fixtureFile(name), join(directory, name), { recursive: true });
}

/** A directory that is removed when the test ends. */
export async function makeDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "ct-ops-ingest-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** With an agent CA, unless the service brings its own. */
function createDatabase(t: Test, env: Record<string, string> = {}): Promise<TestDatabase> {
  return createTestDatabase(t, "INGEST_AGENT_CA_CERT" in env ? TEMPLATES.migrated : TEMPLATES.withAgentCa);
}
