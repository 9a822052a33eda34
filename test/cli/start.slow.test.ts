import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { startApp } from "../../dist/app/app.js";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { parseConfig } from "../../dist/config/config.js";
import { createLogger } from "../../dist/observe/logger.js";
import { startProcess } from "../support/commands/process.js";
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { makeDirectory, serviceEnvironment, startTestService, writeServiceFiles } from "../support/service.js";

/** What the process may take to end, once a step has failed. */
const MAX_EXIT_MS = 3_000;

interface Scene {
  t: Test;
  directory: string;
  database: TestDatabase;
}

/** A step of the start, and what makes it fail; an object that it returns is set in the environment. */
interface Failure {
  step: string;
  fail: (scene: Scene) => Promise<unknown>;
  message: RegExp;
  /** Also shown in a process of its own. */
  inProcess?: true;
}

async function takePort(t: Test): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.teardown(() => server.close());
  return String((server.address() as { port: number }).port);
}

/** Appends what every connection is started with. */
function withOptions({ url }: TestDatabase, options: string): Record<string, string> {
  return { DATABASE_URL: `${url}?options=${encodeURIComponent(options)}` };
}

const FAILURES: Failure[] = [
  {
    step: "server certificate: no file",
    fail: async () => ({ INGEST_TLS_CERT: "/nowhere/server.crt" }),
    message: /INGEST_TLS_CERT.*nowhere/,
  },
  {
    step: "server certificate: another one's key",
    fail: async ({ directory }) => ({ INGEST_TLS_KEY: (await writeDevTls(join(directory, "other"))).keyFile }),
    message: /key does not belong to the certificate/,
  },
  {
    step: "database: nobody listens",
    fail: async () => ({ DATABASE_URL: "postgres://postgres@127.0.0.1:9/postgres" }),
    message: /./,
  },
  {
    step: "database: there is none of that name",
    fail: async ({ database }) => ({ DATABASE_URL: new URL("/nowhere", database.url).href }),
    message: /nowhere/,
  },
  {
    step: "migrations: no tables of the platform",
    fail: async ({ t }) => ({ DATABASE_URL: (await createEmptyDatabase(t)).url }),
    message: /none of the platform's tables/,
    inProcess: true,
  },
  {
    step: "migrations: one fails",
    fail: ({ database }) => database.query("alter table ingest.migrations rename to other"),
    message: /./,
  },
  {
    step: "signing key: no PEM",
    fail: ({ directory }) => writeFile(join(directory, "jwt_key.pem"), "no key"),
    message: /INGEST_JWT_KEY_FILE/,
  },
  {
    step: "signing key: cannot be written",
    fail: async () => ({ INGEST_JWT_KEY_FILE: "/proc/ct-ops/jwt_key.pem" }),
    message: /INGEST_JWT_KEY_FILE: \/proc\/ct-ops/,
  },
  {
    step: "signing keys: system_config is locked",
    fail: async ({ database }) => {
      await database.query("begin");
      await database.query("lock table system_config in access exclusive mode");
      return withOptions(database, "-c lock_timeout=100ms");
    },
    message: /./,
    inProcess: true,
  },
  {
    step: "signing keys: system_config is not readable",
    fail: async ({ t, database }) => {
      const role = `restricted_${new URL(database.url).pathname.slice(1)}`;
      await database.query(`create role ${role}`);
      t.teardown(() => database.query(`drop owned by ${role}; drop role ${role}`));
      await database.query(`grant all on schema ingest to ${role}`);
      await database.query(`grant all on all tables in schema public, ingest to ${role}`);
      await database.query(`revoke all on system_config from ${role}`);
      return withOptions(database, `-c role=${role}`);
    },
    message: /./,
    inProcess: true,
  },
  {
    step: "signing keys: system_config is outside the search path",
    fail: async ({ database }) => {
      await database.query("create schema elsewhere");
      await database.query("alter table system_config set schema elsewhere");
    },
    message: /./,
  },
  {
    step: "signing keys: their table is gone",
    fail: ({ database }) => database.query("drop table ingest.signing_keys"),
    message: /./,
  },
  {
    step: "agent CA: its table is locked",
    fail: async ({ database }) => {
      await database.query("begin");
      await database.query("lock table certificate_authorities in access exclusive mode");
      return withOptions(database, "-c lock_timeout=100ms");
    },
    message: /./,
  },
  {
    step: "agent CA: sealed with another secret",
    fail: async ({ t, database }) => {
      const service = await startTestService(t, { on: database });
      await service.close();
      return { LDAP_ENCRYPTION_KEY: "another secret" };
    },
    message: /LDAP_ENCRYPTION_KEY/,
  },
  {
    step: "agent CA: own files that are none",
    fail: async ({ directory }) => {
      await writeFile(join(directory, "ca.pem"), "no CA");
      return { INGEST_AGENT_CA_CERT: join(directory, "ca.pem"), INGEST_AGENT_CA_KEY: join(directory, "ca.pem") };
    },
    message: /the agent CA in .*ca\.pem/,
  },
  {
    step: "plain listener: its port is taken",
    fail: async ({ t }) => ({ INGEST_HTTP_PORT: await takePort(t) }),
    message: /cannot listen on port/,
  },
  {
    step: "rpc listener: its port is taken",
    fail: async ({ t }) => ({ INGEST_GRPC_PORT: await takePort(t) }),
    message: /cannot listen on port/,
    inProcess: true,
  },
];

async function setScene(t: Test, { fail }: Failure): Promise<Record<string, string>> {
  const [directory, database] = await Promise.all([makeDirectory(t), createTestDatabase(t)]);
  await writeServiceFiles(directory);
  const changed = await fail({ t, directory, database });
  return { ...serviceEnvironment(directory, database.url), ...(Array.isArray(changed) ? {} : (changed as object)) };
}

/** What would keep this process from ending, a name for each. */
function openResources(): string[] {
  return process.getActiveResourcesInfo().sort();
}

for (const failure of FAILURES) {
  t.test(failure.step, async (t) => {
    const env = await setScene(t, failure);
    const parsed = parseConfig(env);
    if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
    const before = openResources();
    await t.rejects(startApp(parsed.config, createLogger("silent")), { message: failure.message });
    const left = await eventually(
      async () => openResources(),
      (now) => now.length <= before.length,
    );
    t.ok(left.length <= before.length, "nothing is left open");
    if (failure.inProcess === undefined) return;

    const process = startProcess(t, ["serve"], { env });
    await process.saw(/^error: /m);
    const failedAt = performance.now();
    t.same(await process.exited, { code: 1, signal: null });
    t.ok(performance.now() - failedAt < MAX_EXIT_MS, `it took ${performance.now() - failedAt} ms`);
  });
}
