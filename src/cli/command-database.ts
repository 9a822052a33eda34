import { databaseUrlIn } from "../config.js";
import { type Database, openDatabase } from "../store/database.js";
import type { CommandContext } from "./context.js";
import { findDevInstance } from "./dev/dev-instance.js";

/** The database a command works on: `DATABASE_URL`, or that of the `dev` instance that runs in this checkout. */
export async function findDatabaseUrl(env: CommandContext["env"]): Promise<string> {
  const url = databaseUrlIn(env) ?? (await findDevInstance())?.databaseUrl;
  if (url === undefined) {
    throw new Error("no database: set DATABASE_URL, or start a service in this directory with `npm start`");
  }
  return url;
}

/** Opens that database for the time of `work`. */
export async function withDatabase<T>({ env }: CommandContext, work: (database: Database) => Promise<T>): Promise<T> {
  const database = openDatabase({ url: await findDatabaseUrl(env), maxConnections: 2 });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}
