import { writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { Command } from "commander";
import { TokenCheck } from "../../enrolment/tokens/token-check.js";
import { issueEnrolmentToken } from "../../enrolment/tokens/token-issue.js";
import { makeDirectory } from "../../lib/make-directory.js";
import { createLogger } from "../../observe/logger.js";
import { tryLockInstance } from "../../store/advisory-locks.js";
import { openDatabase, type Queryable } from "../../store/database.js";
import { insertOrganisation, listOrganisations } from "../../store/enrolment/organisations.js";
import { migrateStandalone } from "../../store/migrate.js";
import type { CommandContext } from "../context.js";
import { requireConfig, runService } from "../run-service.js";
import { developmentEnvironment, readOptional } from "./dev-environment.js";
import { DEFAULT_DATA_DIR, removeDevInstance, writeDevInstance } from "./dev-instance.js";
import { startEmbeddedPostgres } from "./embedded-postgres.js";

/** `dev`: the service with all it needs, in one directory. What `npm start` runs. */
export function devCommand(context: CommandContext): Command {
  return new Command("dev")
    .description("run the service with a PostgreSQL, a server certificate and an enrolment token of its own")
    .option("--data-dir <dir>", "where these are kept", DEFAULT_DATA_DIR)
    .action(({ dataDir }: { dataDir: string }) => runDev(context, resolve(dataDir)));
}

async function runDev(context: CommandContext, dataDir: string): Promise<void> {
  if (context.env.DATABASE_URL) return runWithDatabase(context, dataDir, context.env.DATABASE_URL);
  await makeDataDir(dataDir);
  const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, "postgres"), onLog: context.warn });
  let isOurs = false;
  try {
    const unlock = await tryLockInstance(postgres.url());
    if (unlock === undefined) {
      throw new Error(`another instance runs on ${dataDir}: stop it, or choose another directory with --data-dir`);
    }
    isOurs = true;
    try {
      await runWithDatabase(context, dataDir, postgres.url());
    } finally {
      await unlock();
    }
  } finally {
    if (isOurs || !postgres.adopted) await postgres.stop();
  }
}

async function runWithDatabase(context: CommandContext, dataDir: string, databaseUrl: string): Promise<void> {
  const { signal, warn } = context;
  await makeDataDir(dataDir);
  const config = requireConfig(await developmentEnvironment(context.env, dataDir, databaseUrl), warn);
  await migrateStandalone(databaseUrl);
  const token = await withQueryable(databaseUrl, (db) => loadToken(db, dataDir));
  try {
    await runService(config, createLogger(config.logLevel), signal, async ({ grpcPort, httpPort }) => {
      const grpcAddress = `localhost:${grpcPort}`;
      const caFile = config.tls.certFile;
      await writeDevInstance(dataDir, {
        pid: process.pid,
        databaseUrl,
        grpcAddress,
        caFile,
        token,
        jwtKeyFile: resolve(config.jwtKeyFile),
        encryptionSecret: config.agentCa.encryptionSecret,
      });
      context.print(banner({ grpcAddress, httpPort, caFile: shorten(caFile), token }));
    });
  } finally {
    await removeDevInstance(dataDir);
  }
  context.print("Stopped.");
}

function banner(instance: { grpcAddress: string; httpPort: number; caFile: string; token: string }): string {
  const { grpcAddress, httpPort, caFile, token } = instance;
  return `
ct-ops-ingest is ready.

  agents     https://${grpcAddress}   (gRPC, gRPC-Web, Connect)
  plain      http://localhost:${httpPort}    (/healthz, /.well-known/jwks.json)
  CA file    ${caFile}
  token      ${token}   (approves by itself)

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
async function loadToken(db: Queryable, dataDir: string): Promise<string> {
  const path = join(dataDir, "enrolment-token");
  const stored = await readOptional(path);
  if (stored !== undefined && (await new TokenCheck(db).findUsable(stored))) return stored;
  if ((await listOrganisations(db)).length === 0) await insertOrganisation(db, { name: "Default", slug: "default" });
  const [organisation] = await listOrganisations(db);
  const { token } = await issueEnrolmentToken(db, {
    label: "made by dev",
    autoApprove: true,
    tags: [],
    ...(organisation && { organisationSlug: organisation.slug }),
  });
  await writeFile(path, `${token}\n`, { mode: 0o600 });
  return token;
}

async function withQueryable<T>(url: string, work: (db: Queryable) => Promise<T>): Promise<T> {
  const database = openDatabase({ url, maxConnections: 1 });
  try {
    return await work(database.db);
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
