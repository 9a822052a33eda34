import { randomBytes } from "node:crypto";
import pg from "pg";
import type { Test } from "tap";
import { eventually } from "../eventually.js";

/** The databases that tests clone: migrated, and with the agent CA that a first start would make. */
export const TEMPLATES = { migrated: "template_migrated", withAgentCa: "template_with_agent_ca" } as const;

/** PostgreSQL's, from which a database can be copied in two ways. */
const VERSION_WITH_STRATEGIES = 150_000;

/** A database that only one test knows. */
export interface TestDatabase {
  url: string;
  /** Runs one statement on a connection of the test's own. */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
}

/** Makes a migrated database; it is dropped, with whoever is still connected to it, when the test ends. */
export function createTestDatabase(t: Test, template: string = TEMPLATES.migrated): Promise<TestDatabase> {
  return createDatabase(t, template);
}

/**
 * Makes a database without any tables; it is dropped like the others.
 *
 * @param locale instead of the server's
 */
export function createEmptyDatabase(t: Test, locale?: string): Promise<TestDatabase> {
  return createDatabase(t, "template0", locale);
}

async function createDatabase(t: Test, template: string, locale?: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await administrate(async (admin) => {
    // Two test files that clone one template at once would hinder each other; the lock ends with the connection.
    const { rows } = await admin.query(
      `select pg_advisory_lock(hashtextextended('create test database', 0)),
        current_setting('server_version_num')::int >= ${VERSION_WITH_STRATEGIES} as has_strategies`,
    );
    // Copying files takes half of what writing them through the log does; before there was a choice it was the only way.
    const strategy = rows[0]?.has_strategies ? "strategy file_copy" : "";
    await admin.query(`create database ${name} template ${template} ${strategy} ${locale ? `locale '${locale}'` : ""}`);
  });
  t.teardown(() => administrate((admin) => admin.query(`drop database if exists ${name} with (force)`)));

  const url = new URL(serverUrl());
  url.pathname = `/${name}`;
  const client = await connectTo(t, url.href);
  return {
    url: url.href,
    query: async <R extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
      (await client.query<R>(text, values)).rows,
  };
}

/** Opens a further connection, as another program would; it is closed when the test ends. */
export async function connectTo(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: "test" });
  // A test may end connections; the next query fails then, and says so.
  client.on("error", () => {});
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/**
 * Waits until so many connections to a database wait for a lock that another one holds. What a connection did last does
 * not say that it is still at it, and the databases of other tests are on the same server.
 */
export async function untilLockedOut({ query }: Pick<TestDatabase, "query">, count = 1): Promise<void> {
  await eventually(
    () => query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"),
    ({ length }) => length >= count,
  );
}

/** What is notified on the channel of the service from now on. */
export async function hearNotifications(t: Test, url: string): Promise<string[]> {
  const heard: string[] = [];
  const client = await connectTo(t, url);
  client.on("notification", ({ payload = "" }) => heard.push(payload));
  await client.query("listen ct_ops_ingest");
  return heard;
}

/** Makes a database refuse everybody but the test's own connection, or takes that back. */
export async function setReachable({ url }: TestDatabase, reachable: boolean): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  await administrate(async (admin) => {
    await admin.query(`alter database ${name} with allow_connections ${reachable}`);
    if (reachable) return;
    await admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name <> 'test'",
      [name],
    );
  });
}

async function administrate(work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = new pg.Client({ connectionString: serverUrl() });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

function serverUrl(): string {
  const url = process.env.TEST_POSTGRES_URL;
  if (url === undefined) throw new Error("TEST_POSTGRES_URL is not set: run the tests with `npm test [-- file …]`");
  return url;
}
