import { databaseUrlIn, databaseUrlName, encryptionSecretIn, readValidVariables } from "../config/environment.js";
import { DEFAULT_JWT_KEY_FILE } from "../config/variables.js";
import { parsePostgresUrl } from "../lib/formats/postgres-url.js";
import { createClosedOutbox, type PublishingDatabase } from "../outbox/outbox.js";
import { createStoringOutbox } from "../outbox/storing-outbox.js";
import { type Database, isMissingRelation, openDatabase, type Queryable } from "../store/database.js";
import { requireKnownVersion } from "../store/migrations/migration-state.js";
import { isQueueInUse } from "../store/outbox/publishers.js";
import type { CommandContext } from "./context.js";
import { findDevInstance } from "./dev/dev-instance.js";
import { printable } from "./terminal/printable.js";

/** What a command works on. */
export interface CommandTarget {
  databaseUrl: string;
  /** Where the service whose database that is keeps the key that signs access tokens. */
  jwtKeyFile: string;
  /** Encrypts the agent CA's key in that database. */
  encryptionSecret: string | undefined;
  /** The certificate of an own agent CA. */
  agentCaFile: string | undefined;
  /** Whether the service publishes to a broker, as far as this environment says. */
  hasBroker: boolean;
}

type Environment = CommandContext["env"];

/**
 * The environment a command works in: its own where that names a database, otherwise that of the `dev` instance which runs
 * in this directory. The two are never mixed: the keys of one service would go into the database of another.
 */
export async function findEnvironment(env: Environment): Promise<Environment> {
  return databaseUrlIn(env) === undefined ? ((await findDevInstance())?.environment ?? env) : env;
}

/**
 * Works on the database of a command without changing it.
 *
 * @throws IngestError `database_newer`
 */
export async function readDatabase<T>(
  { env }: CommandContext,
  work: (database: Database, target: CommandTarget) => Promise<T>,
): Promise<T> {
  return withDatabase(await findTarget(env), work);
}

/**
 * Works on the database of a command, and says before which one that is.
 *
 * @throws IngestError `database_newer`
 */
export async function changeDatabase<T>(
  { env, warn }: CommandContext,
  work: (database: Database, target: CommandTarget) => Promise<T>,
): Promise<T> {
  const target = await findTarget(env);
  warn(announceDatabase(env, target.databaseUrl));
  return withDatabase(target, work);
}

/** Works on the database of a command, and says before which one that is; the service publishes what is told of it. */
export async function changePublishingDatabase<T>(
  context: CommandContext,
  work: (publishing: PublishingDatabase) => Promise<T>,
): Promise<T> {
  return changeDatabase(context, async (database, { hasBroker }) => {
    const outbox = (await isPublished(database.db, hasBroker)) ? createStoringOutbox() : createClosedOutbox();
    return work({ database, outbox });
  });
}

/** What is written into the outbox of a service without a broker would wait for ever. */
async function isPublished(db: Queryable, hasBroker: boolean): Promise<boolean> {
  try {
    return (await isQueueInUse(db)) || hasBroker;
  } catch (error) {
    // The service never ran on this database, or its outbox is not there yet.
    if (isMissingRelation(error)) return false;
    throw error;
  }
}

/** @throws Error when nothing names a database */
export async function findTarget(env: Environment): Promise<CommandTarget> {
  const environment = await findEnvironment(env);
  const databaseUrl = databaseUrlIn(environment);
  if (databaseUrl === undefined) {
    throw new Error("no database: set DATABASE_URL, or start a service in this directory with `npm start`");
  }
  const variables = readValidVariables(environment);
  return {
    databaseUrl,
    jwtKeyFile: variables.INGEST_JWT_KEY_FILE ?? DEFAULT_JWT_KEY_FILE,
    encryptionSecret: encryptionSecretIn(variables),
    agentCaFile: variables.INGEST_AGENT_CA_CERT,
    hasBroker: variables.INGEST_AMQP_URL !== undefined,
  };
}

/** Names the database that is about to be changed, and what chose it; without its password. */
export function announceDatabase(env: Environment, databaseUrl: string): string {
  const parsed = parsePostgresUrl(databaseUrl);
  const chosenBy = databaseUrlName(env) ?? "the dev instance of this directory";
  if ("problems" in parsed) throw new Error(`${chosenBy} is not valid: ${parsed.problems.join("; ")}`);
  const { hosts, user, database } = parsed.url;
  const servers = hosts.map(({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`));
  return `changing ${printable(`database ${database ?? user ?? ""} on ${servers.join(", ")}`)} (${chosenBy})`;
}

async function withDatabase<T>(
  target: CommandTarget,
  work: (database: Database, target: CommandTarget) => Promise<T>,
): Promise<T> {
  const database = openDatabase({ url: target.databaseUrl, maxConnections: 2 });
  try {
    // First of all: what keeps a command from the database is said once, however many things it is to change.
    await requireKnownVersion(database.db);
    return await work(database, target);
  } finally {
    await database.close();
  }
}
