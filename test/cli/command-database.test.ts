import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { announceDatabase } from "../../dist/cli/command-database.js";
import { developmentEnvironment } from "../../dist/cli/dev/dev-environment.js";
import { findDevInstance, writeDevInstance } from "../../dist/cli/dev/dev-instance.js";
import { runCli } from "../../dist/cli/program.js";
import { unsealKey } from "../../dist/identity/agent-ca/sealed-key.js";
import { generateSigningKeyPem } from "../../dist/identity/signing-keys/signing-key.js";
import { openDatabase } from "../../dist/store/database.js";
import { insertOrganisation } from "../../dist/store/enrolment/organisations.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase, type TestDatabase } from "../support/database/database.js";
import { makeDirectory } from "../support/service.js";

interface Installation {
  database: TestDatabase;
  name: string;
  jwtKeyFile: string;
  secret: string;
}

async function install(t: Test, name: string): Promise<Installation> {
  const database = await createTestDatabase(t);
  const { db, close } = openDatabase({ url: database.url, maxConnections: 1 });
  await insertOrganisation(db, { name, slug: name });
  await close();
  const jwtKeyFile = join(await makeDirectory(t), "jwt_key.pem");
  await writeFile(jwtKeyFile, await generateSigningKeyPem());
  return { database, name: new URL(database.url).pathname.slice(1), jwtKeyFile, secret: `the secret of ${name}` };
}

/** What there is of an installation that a command for another one must not touch. */
async function snapshot({ database, jwtKeyFile }: Installation): Promise<unknown> {
  return {
    key: await readFile(jwtKeyFile, "utf8"),
    published: await database.query("select kid from ingest.signing_keys"),
    cas: await database.query("select id from certificate_authorities"),
    tokens: await database.query("select id from agent_enrolment_tokens"),
  };
}

/** A `dev` instance that seems to run in the current directory, which is one that the test may use. */
async function pretendDev(t: Test, { database, jwtKeyFile, secret }: Installation): Promise<void> {
  const before = process.cwd();
  process.chdir(await makeDirectory(t));
  t.teardown(() => process.chdir(before));
  await mkdir(".data");
  await writeDevInstance(".data", {
    pid: process.pid,
    grpcAddress: "localhost:1",
    caFile: "/nowhere",
    token: "none",
    environment: { DATABASE_URL: database.url, INGEST_JWT_KEY_FILE: jwtKeyFile, LDAP_ENCRYPTION_KEY: secret },
  });
}

async function requireChanged(t: Test, changed: Installation, other: Installation, env: Record<string, string>) {
  const otherBefore = await snapshot(other);
  const keyBefore = await readFile(changed.jwtKeyFile, "utf8");
  t.match(await runCommand(env, ["keys", "rotate"]), {
    exitCode: 0,
    errors: new RegExp(`database ${changed.name} on`),
  });
  t.match(await runCommand(env, ["ca", "rotate"]), { exitCode: 0, errors: new RegExp(`database ${changed.name} on`) });
  t.match(await runCommand(env, ["token", "create", "--label", "x"]), { exitCode: 0 });
  t.not(await readFile(changed.jwtKeyFile, "utf8"), keyBefore);
  const [ca] = await changed.database.query("select key_pem_encrypted from certificate_authorities");
  t.match(await unsealKey(ca?.key_pem_encrypted, changed.secret), /PRIVATE KEY/, "encrypted with its own secret");
  t.same(await snapshot(other), otherBefore);
}

t.test("beside a dev instance a command works on what its environment names, with the keys of that", async (t) => {
  const [production, dev] = [await install(t, "production"), await install(t, "dev")];
  await pretendDev(t, dev);
  for (const name of ["DATABASE_URL", "INGEST_DATABASE_URL"]) {
    await production.database.query("delete from certificate_authorities");
    await requireChanged(t, production, dev, {
      [name]: production.database.url,
      INGEST_JWT_KEY_FILE: production.jwtKeyFile,
      BETTER_AUTH_SECRET: production.secret,
    });
  }
  // Keys without a database are those of nobody.
  await requireChanged(t, dev, production, {
    INGEST_DATABASE_URL: " ",
    INGEST_JWT_KEY_FILE: production.jwtKeyFile,
    LDAP_ENCRYPTION_KEY: production.secret,
    INGEST_AGENT_CA_CERT: "/own/ca.crt",
  });
});

t.test("each command that changes something says first which database, and the others do not", async (t) => {
  const { database, name, jwtKeyFile, secret } = await install(t, "one");
  const env = { INGEST_DATABASE_URL: database.url, INGEST_JWT_KEY_FILE: jwtKeyFile, LDAP_ENCRYPTION_KEY: secret };
  const announcement = `changing database ${name} on ${new URL(database.url).host} (INGEST_DATABASE_URL)`;
  const changing = [
    ["migrate"],
    ["migrate", "--standalone"],
    ["org", "create", "Two"],
    ["token", "create", "--label", "x", "--org", "one", "--json"],
    ["token", "revoke", "nobody"],
    ...["approve", "revoke", "unrevoke", "delete"].map((verb) => ["agent", verb, "nobody"]),
    ["ca", "rotate"],
    ["ca", "retire", "nobody"],
    ["keys", "rotate"],
    ["keys", "retire", "nobody"],
  ];
  for (const args of changing) {
    const { errors } = await runCommand(env, args);
    const [first = ""] = errors.split("\n");
    t.equal(args.includes("--json") ? JSON.parse(first).notice : first, announcement, args.join(" "));
  }
  for (const args of [
    ["agent", "list"],
    ["org", "list"],
    ["token", "list"],
    ["ca", "list"],
    ["keys", "list"],
    ["doctor"],
  ]) {
    t.notMatch((await runCommand(env, args)).errors, /changing/, args.join(" "));
  }
});

t.test("dev takes the database that the environment names, and its own keys where none are named", async (t) => {
  const { database, name } = await install(t, "one");
  const dataDir = await makeDirectory(t);
  const errors: string[] = [];
  const env = {
    INGEST_DATABASE_URL: database.url,
    INGEST_JWT_KEY_FILE: "",
    LDAP_ENCRYPTION_KEY: " ",
    INGEST_TLS_CERT: "",
  };
  const exitCode = await runCli(["dev", "--data-dir", dataDir], {
    env,
    user: "tester",
    signal: AbortSignal.abort("at once"),
    secondSignal: new AbortController().signal,
    print: () => {},
    warn: (line) => errors.push(line),
    progress: () => {},
  });
  t.equal(exitCode, 0);
  t.match(errors, [new RegExp(`^changing database ${name} on .* \\(INGEST_DATABASE_URL\\)$`)]);
  t.same((await readdir(dataDir)).sort(), ["encryption-key", "tls"], "no PostgreSQL of its own");
  const set = await developmentEnvironment({ ...env, INGEST_WORKERS: "3" }, dataDir, database.url);
  t.equal(set.INGEST_WORKERS, "1", "what it is, for doctor");
  t.equal(set.INGEST_MAX_CONNECTIONS, "10000", "no warning of descriptors where serve would need 20,399");
  t.equal(set.INGEST_JWT_KEY_FILE, join(dataDir, "jwt_key.pem"));
});

t.test("a database is named without its password", async (t) => {
  const cases = [
    ["postgres://ct:s3cret@db.example.org/ops", "ops on db.example.org:5432"],
    ["postgres://ct:s3@cret@[fd00::1]:5433,[fd00::2]/ops?password=s3cret", "ops on [fd00::1]:5433, [fd00::2]:5432"],
    ["postgres://ct:s3cret@%2Fvar%2Frun/", "ct on /var/run:5432"],
    ["postgres://ct:s3cret@db/x%E2%80%AEy", "x\\u202ey on db:5432"],
  ];
  for (const [url = "", named] of cases) {
    t.equal(announceDatabase({ DATABASE_URL: url }, url), `changing database ${named} (DATABASE_URL)`);
  }
  t.throws(() => announceDatabase({ DATABASE_URL: "s3cret" }, "s3cret"), {
    message: /^DATABASE_URL is not valid: [^3]*$/,
  });
});

t.test("a damaged note of a dev instance counts as none", async (t) => {
  const directory = await makeDirectory(t);
  for (const text of ["", '{"pid": 1, "grpcAd', "[]"]) {
    await writeFile(join(directory, "dev.json"), text);
    t.equal(await findDevInstance(directory), undefined, text);
  }
});
