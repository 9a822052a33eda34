import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { rotateAgentCa } from "../../dist/identity/agent-ca/agent-ca-rotation.js";
import { generateSigningKeyPem } from "../../dist/identity/signing-keys/signing-key.js";
import { openDatabase } from "../../dist/store/database.js";
import { migrateStandalone } from "../../dist/store/migrations/migrate.js";
import { TEMPLATES } from "./database/database.js";

/** Encrypts the key of the agent CA of every test's service. */
export const ENCRYPTION_SECRET = "a secret of the tests";

/** PostgreSQL's, from which a role has its own number of rounds. */
const VERSION_WITH_SCRAM_ITERATIONS = 160_000;

/**
 * Makes what all tests copy, once: the key and the certificate of a service in a directory, and databases.
 *
 * @returns what the processes of the tests have in their environment
 */
export async function makeFixtures(
  directory: string,
  url: (database?: string) => string,
): Promise<Record<string, string>> {
  await mkdir(directory);
  await writeFile(join(directory, "jwt_key.pem"), await generateSigningKeyPem(), { mode: 0o600 });
  await writeDevTls(join(directory, "tls"));
  await withAdministrator(url(), async (admin) => {
    await makePasswordCheap(admin, new URL(url()).password);
    const { migrated, withAgentCa } = TEMPLATES;
    await admin.query(`create database ${migrated}`);
    await migrateStandalone(url(migrated));
    await admin.query(`create database ${withAgentCa} template ${migrated}`);
    const database = openDatabase({ url: url(withAgentCa), maxConnections: 1 });
    await rotateAgentCa(database, { secret: ENCRYPTION_SECRET, force: false }).finally(() => database.close());
    // Cloning fails while somebody is connected to the template.
    for (const template of [migrated, withAgentCa]) {
      await admin.query(`alter database ${template} with is_template true allow_connections false`);
    }
  });
  return { TEST_POSTGRES_URL: url(), TEST_FIXTURES: directory };
}

/** The path of a file that {@link makeFixtures} made. */
export function fixtureFile(name: string): string {
  const directory = process.env.TEST_FIXTURES;
  if (directory === undefined) throw new Error("TEST_FIXTURES is not set: run the tests with `npm test [-- file …]`");
  return join(directory, name);
}

/** A thousand connections that each go through 4,096 rounds take seconds. */
async function makePasswordCheap(admin: pg.Client, password: string): Promise<void> {
  const { rows } = await admin.query("select current_setting('server_version_num')::int as version");
  if (rows[0]?.version < VERSION_WITH_SCRAM_ITERATIONS) return;
  await admin.query("set scram_iterations = 1");
  await admin.query(`alter role postgres password ${admin.escapeLiteral(password)}`);
}

async function withAdministrator(url: string, work: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
