import { webcrypto } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import "reflect-metadata";
import { ExtendedKeyUsage, ExtendedKeyUsageExtension, PemConverter, X509CertificateGenerator } from "@peculiar/x509";
import { sql } from "drizzle-orm";
import t from "tap";
import { describeError } from "../../dist/cli/interaction/describe-error.js";
import { openConnection } from "../../dist/store/connection/connection.js";
import { isTransient, openDatabase } from "../../dist/store/database.js";
import { runCommand } from "../support/commands/cli.js";
import { PostgresServer } from "../support/database/postgres-server.js";
import { fixtureFile } from "../support/fixtures.js";
import { makeDirectory, serviceEnvironment, writeServiceFiles } from "../support/service.js";

const POLICY = { statementTimeoutMs: 30_000 };
const SERVER_CA = join(fixtureFile("tls"), "server.crt");

const server = await PostgresServer.start(t);
await server.admit("host all all all scram-sha-256");
const { username: superuser, password: secret } = new URL(server.url);
const credentials = `${superuser}:${secret}`;

/** How one comes in by a URL. */
async function connectBy(url: string) {
  const connection = await openConnection(url, POLICY);
  try {
    const { rows } = await connection.query<{ user: string; database: string; tls: boolean; socket: boolean }>(
      `select current_user as user, current_database() as database, inet_client_addr() is null as socket,
         (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as tls`,
    );
    return rows[0];
  } finally {
    await connection.end();
  }
}

/** Why one does not come in. */
async function refusalOf(url: string): Promise<string | undefined> {
  return connectBy(url).then(
    () => "none",
    (error: unknown) => describeError(error),
  );
}

t.test("a server is reached as the URL says", async (t) => {
  await server.query(`create role "ä@:/?#% x" login password 'p@:/?#% ä'`);
  await server.query(`create database "my db"`);
  const { port, socketDirectory } = server;
  const socket = encodeURIComponent(socketDirectory);
  t.match(await connectBy(`postgres://${superuser}@${socket}:${port}/my%20db`), { database: "my db", socket: true });
  t.match(await connectBy(`postgresql:///postgres?host=${socketDirectory}&port=${port}&user=${superuser}`), {
    socket: true,
  });
  t.match(await connectBy(`postgres://${superuser}@/?host=${socket}&port=${port}`), { database: superuser });
  const odd = "%C3%A4%40%3A%2F%3F%23%25%20x:p%40%3A%2F%3F%23%25%20%C3%A4";
  t.match(await connectBy(`postgres://${odd}@127.0.0.1:${port}/postgres`), { user: "ä@:/?#% x", socket: false });
  t.match(
    await refusalOf(`postgres://${superuser}@${encodeURIComponent("/nowhere")}:${port}/x`),
    /ENOENT.*; start PostgreSQL, or correct the directory/,
  );
});

t.test(
  "a server is reached over an IPv6 address",
  { skip: !(await hasIpv6()) && "this machine has no IPv6" },
  async (t) => {
    t.match(
      await refusalOf(`postgres://u@[::1]:1/x`),
      /no connection to the database at \[::1\]:1: connect ECONNREFUSED ::1:1; start/,
    );
  },
);

t.test("TLS is used as sslmode says", async (t) => {
  const directory = await makeDirectory(t);
  const client = await createClientCertificate("tls_client");
  const files = {
    cert: join(directory, "client.crt"),
    key: join(directory, "client.key"),
    other: join(directory, "other.crt"),
  };
  await writeFile(files.cert, client.certPem);
  await writeFile(files.key, client.keyPem);
  await writeFile(files.other, (await createClientCertificate("other")).certPem);
  await server.query("create role tls_client login");
  const url = (query: string, host = "localhost") =>
    `postgres://${credentials}@${host}:${server.port}/postgres?${query}`;
  const root = `sslrootcert=${SERVER_CA}`;

  t.match(await connectBy(url("sslmode=prefer")), { tls: false }, "the server has none");
  t.match(
    await refusalOf(url("sslmode=require")),
    /does not support SSL connections; switch TLS on there .*sslmode=disable/,
  );

  await server.useTls(true, client.certPem);
  for (const [query, tls] of Object.entries({
    "": false,
    "sslmode=disable": false,
    "sslmode=allow": false,
    "sslmode=prefer": true,
    "sslmode=require": true,
    [`sslmode=require&${root}`]: true,
    [`sslmode=verify-ca&${root}`]: true,
    [`sslmode=verify-full&${root}`]: true,
    "sslmode=require&channel_binding=prefer": true,
  })) {
    t.match(await connectBy(url(query)), { tls }, query || "nothing is said");
  }
  // The certificate does not name this address.
  t.match(await connectBy(url(`sslmode=verify-ca&${root}`, "127.0.0.2")), { tls: true });
  t.match(
    await refusalOf(url(`sslmode=verify-full&${root}`, "127.0.0.2")),
    /127\.0\.0\.2.*; use a name that the server's certificate has/,
  );
  for (const query of [
    "sslmode=verify-full",
    `sslmode=require&sslrootcert=${files.other}`,
    `sslmode=verify-ca&sslrootcert=${files.other}`,
  ]) {
    t.match(
      await refusalOf(url(query)),
      /certificate.*; name the CA of the server's certificate with sslrootcert/,
      query,
    );
  }
  t.match(
    await refusalOf(url("sslmode=verify-ca&sslrootcert=/nowhere.pem")),
    /sslrootcert of the database's URL cannot be read: ENOENT.*nowhere\.pem/,
  );

  await server.admit("hostssl all tls_client all cert", "hostssl all all all scram-sha-256");
  t.match(await connectBy(url("")), { tls: true }, "this server demands it");
  t.match(
    await refusalOf(url("sslmode=disable")),
    /no pg_hba\.conf entry for host "127\.0\.0\.1", user "postgres".* no encryption; correct DATABASE_URL/,
  );
  const asClient = (query: string) => `postgres://tls_client@localhost:${server.port}/postgres?${query}`;
  const own = `sslcert=${files.cert}&sslkey=${files.key}`;
  t.match(await connectBy(asClient(`sslmode=verify-full&${root}&${own}`)), { user: "tls_client" });
  t.match(await refusalOf(asClient("sslmode=require")), /requires a valid client certificate/);

  await server.admit("host all all all scram-sha-256");
  await server.useTls(false);
});

t.test("a database that refuses is one line that says what and what to do", async (t) => {
  const directory = await makeDirectory(t);
  await writeServiceFiles(directory);
  const { port } = server;
  await server.query("create role barred login password 'secret' connection limit 0");
  await server.query("create role locked_out nologin password 'secret'");
  const full =
    /too many connections for role "barred"; end other clients, raise max_connections there, or lower INGEST_WORKERS or INGEST_DATABASE_POOL_SIZE/;
  const refusals: [url: string, line: RegExp][] = [
    [
      `postgres://${superuser}:hunter2@127.0.0.1:${port}/postgres`,
      /password authentication failed for user "postgres"; correct the password in DATABASE_URL/,
    ],
    [
      `postgres://nobody:hunter2@127.0.0.1:${port}/postgres`,
      /password authentication failed for user "nobody"; correct the password/,
    ],
    [
      `postgres://locked_out:secret@127.0.0.1:${port}/postgres`,
      /role "locked_out" is not permitted to log in; correct DATABASE_URL, create the role/,
    ],
    [
      `postgres://${credentials}@127.0.0.1:${port}/nothing`,
      /database "nothing" does not exist; create the database, or correct its name/,
    ],
    [`postgres://barred:secret@127.0.0.1:${port}/postgres`, full],
    [
      "postgres://u:hunter2@127.0.0.1:1/x",
      /connect ECONNREFUSED 127\.0\.0\.1:1; start PostgreSQL, or correct host and port/,
    ],
    ["postgres://u:hunter2@nowhere.invalid/x", /getaddrinfo \w+ nowhere\.invalid; correct the host in DATABASE_URL/],
    [
      `postgres://u:hunter2@127.0.0.1:${port}/x?sslmode=require`,
      /does not support SSL connections; switch TLS on there/,
    ],
    ["postgres://u:hunter2@127.0.0.1/x?sslmode=on", /sslmode is none of disable, allow,/],
  ];
  // cli/database-refusals.test.ts has every command.
  const command = ["agent", "list"];
  for (const [url, line] of refusals) {
    const env = { ...serviceEnvironment(directory, url), INGEST_LOG_LEVEL: "silent" };
    const { exitCode, errors, output } = await runCommand(env, command);
    const lines = errors.split("\n").filter((text) => !text.startsWith("changing "));
    t.match(lines, [new RegExp(`^error: .*${line.source}`)], line.source);
    t.match({ exitCode, output, count: lines.length }, { exitCode: 1, output: "", count: 1 });
    t.notMatch(errors, /hunter2| {4}at /);
  }
});

t.test("of several servers the one that can be written to is used, also after a failover", async (t) => {
  const standby = await server.startStandby();
  const at = ({ port }: PostgresServer) => `127.0.0.1:${port}`;
  const url = `postgres://${credentials}@127.0.0.1:1,${at(standby)},${at(server)}/postgres`;
  t.match(
    await refusalOf(`postgres://${credentials}@${at(standby)}/postgres?target_session_attrs=read-write`),
    /it is read-only; name a server in DATABASE_URL that can be written to/,
  );
  t.match(
    await refusalOf(`postgres://${credentials}@127.0.0.1:1,${at(standby)}/postgres?target_session_attrs=primary`),
    /127\.0\.0\.1:1: connect ECONNREFUSED .*; no connection to the database at 127\.0\.0\.1:\d+: it is a standby; /,
    "each says why",
  );

  const database = openDatabase({ url, maxConnections: 3 });
  t.teardown(() => database.close());
  const write = () =>
    database.transaction((tx) => tx.execute(sql`insert into written select inet_server_port() returning *`));
  await server.query("create table written (port int)");
  t.match((await write()).rows, [{ port: server.port }]);

  const only = openDatabase({ url: `postgres://${credentials}@${at(standby)}/postgres` });
  t.teardown(() => only.close());
  const refused = await only.db.execute(sql`create table other (id text)`).then(
    () => t.fail("a standby was written to"),
    (error: unknown) => error,
  );
  t.ok(isTransient(refused));
  t.match(
    describeError(refused),
    /cannot execute CREATE TABLE in a read-only transaction; name a server .*target_session_attrs/,
  );

  const { exitCode, errors } = await runCommand({ DATABASE_URL: `postgres://${credentials}@${at(standby)}/postgres` }, [
    "migrate",
    "--standalone",
  ]);
  t.equal(exitCode, 1);
  t.match(
    errors,
    /^changing .*\nerror: .*read-only transaction; name a server in DATABASE_URL that can be written to.*$/,
  );

  await server.stop();
  await t.rejects(write(), "nobody can be written to at this moment");
  await standby.query("select pg_promote()");
  await standby.query("create table written (port int)");
  t.match((await write()).rows, [{ port: standby.port }]);
  await server.startAsStandby();
  t.match((await write()).rows, [{ port: standby.port }], "the old one is back, and only reads");
});

/** A self-signed certificate that a server may take for its own CA. */
async function createClientCertificate(name: string): Promise<{ certPem: string; keyPem: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
  });
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { certPem: certificate.toString("pem"), keyPem: PemConverter.encode(key, "PRIVATE KEY") };
}

async function hasIpv6(): Promise<boolean> {
  const { createServer } = await import("node:net");
  return new Promise((resolve) => {
    const probe = createServer()
      .once("error", () => resolve(false))
      .listen(0, "::1", () => probe.close(() => resolve(true)));
  });
}
