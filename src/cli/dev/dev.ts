import { join, relative, resolve } from "node:path";
import { Command } from "commander";
import { startApp } from "../../app/app.js";
import { createLifetime } from "../../app/create-lifetime.js";
import { databaseUrlIn, readValidVariables, settingsIn } from "../../config/environment.js";
import { TokenCheck } from "../../enrolment/tokens/token-check.js";
import { issueEnrolmentToken } from "../../enrolment/tokens/token-issue.js";
import { describeAmqpAddress } from "../../lib/formats/amqp-url.js";
import type { Lifetime } from "../../lib/lifetime.js";
import { makeDirectory } from "../../lib/make-directory.js";
import { createLogger, type Logger } from "../../observe/logger.js";
import { createClosedOutbox } from "../../outbox/outbox.js";
import { tryLockInstance } from "../../store/advisory-locks.js";
import { type Database, openDatabase } from "../../store/database.js";
import { insertOrganisation, listOrganisations } from "../../store/enrolment/organisations.js";
import { migrateStandalone } from "../../store/migrations/migrate.js";
import { announceDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { requireConfig, runUntilTold } from "../service/run-service.js";
import { developmentEnvironment, readOptional } from "./dev-environment.js";
import { DEFAULT_DATA_DIR, removeDevInstance, writeDevInstance } from "./dev-instance.js";
import { startEmbeddedPostgres } from "./embedded-postgres.js";
import { writePrivateFile } from "./private-file.js";

/** A server that was killed the last time repairs itself while it starts. */
const POSTGRES_TIMEOUT_MS = 10_000;

/** `dev`: the service with all it needs, in one directory. What `npm start` runs. */
export function devCommand(context: CommandContext): Command {
  return new Command("dev")
    .description("run the service with a PostgreSQL, a server certificate and an enrolment token of its own")
    .option("--data-dir <dir>", "where these are kept", DEFAULT_DATA_DIR)
    .option("--broker <url>", "a RabbitMQ to publish to: amqp://user:password@host/vhost")
    .action(({ dataDir, broker }: { dataDir: string; broker?: string }) => {
      const env = broker === undefined ? context.env : { ...context.env, INGEST_AMQP_URL: broker };
      return runDev({ ...context, env }, resolve(dataDir));
    });
}

async function runDev(context: CommandContext, dataDir: string): Promise<void> {
  const variables = readValidVariables({ INGEST_LOG_LEVEL: "warn", ...context.env });
  const logger = createLogger(variables.INGEST_LOG_LEVEL ?? "warn");
  const lifetime = createLifetime(logger, variables.INGEST_DRAIN_TIMEOUT ?? 0);
  await runUntilTold(context, { lifetime, logger }, async () => {
    await makeDataDir(dataDir);
    const named = databaseUrlIn(context.env);
    if (named !== undefined) context.warn(announceDatabase(context.env, named));
    const databaseUrl = named ?? (await openEmbeddedPostgres(context, dataDir, lifetime));
    await start(context, { dataDir, databaseUrl, logger, lifetime });
  });
  context.print("Stopped.");
}

async function openEmbeddedPostgres(context: CommandContext, dataDir: string, lifetime: Lifetime): Promise<string> {
  let isOurs = false;
  const postgres = await lifetime.open(
    "embedded PostgreSQL",
    (signal) => startEmbeddedPostgres({ dataDir: join(dataDir, "postgres"), onLog: context.warn, signal }),
    async (started, hurry) => {
      if (isOurs || !started.adopted) await started.stop(hurry);
    },
    { vital: true, timeoutMs: POSTGRES_TIMEOUT_MS },
  );
  const unlock = await lifetime.open(
    "lock of the data directory",
    () => tryLockInstance(postgres.url()),
    (unlock) => unlock?.(),
  );
  if (unlock === undefined) {
    throw new Error(`another instance runs on ${dataDir}: stop it, or choose another directory with --data-dir`);
  }
  isOurs = true;
  return postgres.url();
}

interface Start {
  dataDir: string;
  databaseUrl: string;
  logger: Logger;
  lifetime: Lifetime;
}

async function start(context: CommandContext, { dataDir, databaseUrl, logger, lifetime }: Start): Promise<void> {
  const environment = await developmentEnvironment(context.env, dataDir, databaseUrl);
  const config = requireConfig(environment, context.warn);
  await lifetime.open("migrations of the platform", (signal) => migrateStandalone(databaseUrl, signal));
  const token = await lifetime.open("enrolment token", () =>
    withDatabase(databaseUrl, (database) => loadToken(database, dataDir)),
  );
  const { grpcPort, httpPort } = await startApp(config, logger, { lifetime });
  const grpcAddress = `localhost:${grpcPort}`;
  const caFile = config.tls.certFile;
  lifetime.register("note for other commands", () => removeDevInstance(dataDir), { vital: true });
  await writeDevInstance(dataDir, {
    pid: process.pid,
    grpcAddress,
    caFile,
    token,
    environment: {
      ...settingsIn(environment),
      INGEST_JWT_KEY_FILE: resolve(config.jwtKeyFile),
      // Where it is, also when it took free ones.
      INGEST_GRPC_PORT: String(grpcPort),
      INGEST_HTTP_PORT: String(httpPort),
    },
  });
  const [broker] = config.broker?.addresses ?? [];
  context.print(
    banner({ grpcAddress, httpPort, caFile: shorten(caFile), token, broker: broker && describeAmqpAddress(broker) }),
  );
}

function banner(instance: {
  grpcAddress: string;
  httpPort: number;
  caFile: string;
  token: string;
  broker: string | undefined;
}): string {
  const { grpcAddress, httpPort, caFile, token, broker } = instance;
  return `
ct-ops-ingest is ready.

  agents     https://${grpcAddress}   (gRPC, gRPC-Web, Connect)
  plain      http://localhost:${httpPort}    (/healthz, /.well-known/jwks.json)
  CA file    ${caFile}
  token      ${token}   (approves by itself)${broker === undefined ? "" : `\n  broker     ${broker}`}

Try next, in another terminal:

  npm run cli -- simulate --agents 10
  npm run cli -- agent list
  curl http://localhost:${httpPort}/.well-known/jwks.json

Ctrl-C stops it.
`;
}

/** The path from here, where that is shorter. */
function shorten(path: string): string {
  const fromHere = relative("", path);
  return fromHere.length < path.length ? fromHere : path;
}

/** The token that was made the first time; a new one when this database does not know it, or it was revoked. */
async function loadToken(database: Database, dataDir: string): Promise<string> {
  const { db } = database;
  const path = join(dataDir, "enrolment-token");
  const stored = await readOptional(path);
  if (stored !== undefined && (await new TokenCheck(db).findUsable(stored))) return stored;
  if ((await listOrganisations(db)).length === 0) await insertOrganisation(db, { name: "Default", slug: "default" });
  const [organisation] = await listOrganisations(db);
  // Nobody publishes before the service has started for the first time.
  const { token } = await issueEnrolmentToken(
    { database, outbox: createClosedOutbox() },
    {
      label: "made by dev",
      autoApprove: true,
      tags: [],
      ...(organisation && { organisationSlug: organisation.slug }),
    },
  );
  await writePrivateFile(path, `${token}\n`);
  return token;
}

async function withDatabase<T>(url: string, work: (database: Database) => Promise<T>): Promise<T> {
  const database = openDatabase({ url, maxConnections: 1 });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await makeDirectory(dataDir, 0o700);
  } catch (cause) {
    throw new Error(`the data directory ${dataDir} cannot be used: ${(cause as Error).message}`, { cause });
  }
}
