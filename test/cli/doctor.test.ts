import { generateKeyPairSync } from "node:crypto";
import { chmod, chown, readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { clockCheck } from "../../dist/cli/doctor/checks/machine/clock.js";
import { checkDates } from "../../dist/cli/doctor/dates.js";
import { createDevServerCertificate } from "../../dist/identity/server-certificate/server-certificate.js";
import { encodeSubjectAltName, NAME_TAG } from "../../dist/identity/x509/certificate-extensions.js";
import { encodeName } from "../../dist/identity/x509/write-certificate.js";
import type { Queryable } from "../../dist/store/database.js";
import { enrol } from "../support/agents/field-agent.js";
import { createCa, UNFIT_CA_EXTENSIONS } from "../support/certificates/agent-cas.js";
import { runCommand } from "../support/commands/cli.js";
import { createEmptyDatabase, createTestDatabase } from "../support/database/database.js";
import { makeDirectory, startTestService, type TestService } from "../support/service.js";

interface Finding {
  check: string;
  verdict: string;
  message: string;
  remedy?: string;
}

type Env = Record<string, string | undefined>;

async function examine(env: Env): Promise<{ exitCode: number; findings: Finding[]; wrong: Finding[] }> {
  const { exitCode, output } = await runCommand(env, ["doctor", "--json"]);
  const findings = JSON.parse(output) as Finding[];
  return { exitCode, findings, wrong: findings.filter(({ verdict }) => ["warning", "error"].includes(verdict)) };
}

/** The environment of a service, with the ports it really listens on. */
function environmentOf(service: TestService): Env {
  return { ...service.env, INGEST_GRPC_PORT: `${service.grpcPort}`, INGEST_HTTP_PORT: `${service.httpPort}` };
}

/** What the doctor finds wrong once `broken` is so, and nothing else is. */
async function findsOnly(t: Test, env: Env, expected: object[]): Promise<void> {
  const { wrong, exitCode } = await examine(env);
  t.match(wrong, expected);
  t.equal(wrong.length, expected.length, JSON.stringify(wrong));
  t.equal(exitCode, expected.length > 0 ? 1 : 0);
}

t.test("nothing is wrong with a service that runs, nor with one that is about to", async (t) => {
  const service = await startTestService(t);
  await enrol(service, await service.createToken());
  const running = await examine(environmentOf(service));
  t.same(running.wrong, []);
  t.equal(running.exitCode, 0);
  const messages = running.findings.map(({ check, message }) => `${check}: ${message}`).join("\n");
  t.match(
    messages,
    /ports: INGEST_GRPC_PORT: the service answers on \d+\nports: the certificate that it shows is good until .*\nports: INGEST_HTTP_PORT: the service answers on \d+\nports: it is version /,
  );
  t.match(messages, /server certificate: it is good for localhost/);
  t.match(messages, /published keys: 1, this one included/);
  t.match(messages, new RegExp(`instances: one runs at \\S+:${service.grpcPort}, version .*, with 0 sessions`));
  await service.database.query("update ingest.instances set version = '0.0.1'");
  t.match((await examine(environmentOf(service))).wrong, [
    { check: "instances", verdict: "warning", message: /version 0\.0\.1, .*this command is/ },
  ]);

  const { url } = await createTestDatabase(t);
  const directory = await makeDirectory(t);
  const fresh = { ...service.env, DATABASE_URL: url, INGEST_JWT_KEY_FILE: join(directory, "none.pem") };
  await findsOnly(t, fresh, []);
});

t.test("each broken thing is found, with what to do", async (t) => {
  const service = await startTestService(t);
  const { agentId } = await enrol(service, await service.createToken());
  const env = environmentOf(service);
  const { query } = service.database;
  const file = async (name: string, content: string) => {
    const path = join(service.directory, name);
    await writeFile(path, content);
    return path;
  };
  const otherKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    format: "pem",
    type: "pkcs8",
  });
  const rsaKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
    format: "pem",
    type: "pkcs1",
  });

  await t.test("server certificate", async (t) => {
    await findsOnly(t, { ...env, INGEST_TLS_KEY: await file("other.key", `${otherKey}`) }, [
      { check: "server certificate", verdict: "error", message: /key does not belong/, remedy: String },
    ]);
    const root = await createCa();
    const DAY_MS = 24 * 60 * 60 * 1000;
    const expired = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
    const between = await createCa({ name: encodeName({ commonName: "between" }), issuer: root, ...expired });
    const extensions = [encodeSubjectAltName([{ tag: NAME_TAG.dns, value: Buffer.from("localhost") }])];
    const leaf = await createCa({ name: encodeName({ commonName: "leaf" }), issuer: between, extensions });
    const chain = {
      INGEST_TLS_CERT: await file("chain.crt", leaf.certificatePem + between.certificatePem),
      INGEST_TLS_KEY: await file("chain.key", leaf.keyPem),
      INGEST_GRPC_PORT: "0",
    };
    await findsOnly(t, { ...env, ...chain }, [
      {
        check: "server certificate",
        verdict: "warning",
        message: /CN=between, in its chain, expired/,
        remedy: /leave/,
      },
    ]);
  });
  await t.test("connection limit", async (t) => {
    await findsOnly(t, { ...env, INGEST_WORKERS: "64" }, [
      { check: "connection limit", verdict: "warning", message: /up to 1088 connections of 64 workers/ },
    ]);
  });
  await t.test("agent CA", async (t) => {
    await findsOnly(t, { ...env, LDAP_ENCRYPTION_KEY: "wrong" }, [
      { check: "agent CA", verdict: "error", message: /cannot be decrypted/, remedy: /LDAP_ENCRYPTION_KEY/ },
    ]);
    // Neither of them signs, though they are newer and in nobody's way.
    await query(
      `insert into certificate_authorities
         (id, purpose, cert_pem, key_pem_encrypted, source, fingerprint_sha256, not_before, not_after, created_at, metadata)
       values ('over', 'agent_ca', '', '', 'byo', 'o', now(), now(), now() + interval '1 minute', null),
              ('retired', 'agent_ca', '', '', 'byo', 'r', now(), now() + interval '1 day', now() + interval '1 minute',
               '{"retiredAt": ""}')`,
    );
    await findsOnly(t, env, []);
    await query("delete from certificate_authorities where cert_pem = ''");
    const [ca] = await query("select cert_pem from certificate_authorities");
    const files = {
      INGEST_AGENT_CA_CERT: await file("ca.crt", ca?.cert_pem),
      INGEST_AGENT_CA_KEY: await file("ca.key", `${otherKey}`),
    };
    await findsOnly(t, { ...env, ...files }, [{ check: "agent CA", verdict: "error", message: /does not belong/ }]);
    const unfit = await createCa({ extensions: UNFIT_CA_EXTENSIONS });
    await file("ca.crt", unfit.certificatePem);
    await file("ca.key", unfit.keyPem);
    await findsOnly(t, { ...env, ...files }, [
      { check: "agent CA", verdict: "error", message: /what it signs would be refused/, remedy: /put a new CA/ },
    ]);
  });
  await t.test("JWT key", async (t) => {
    const path = await file("jwt-other.pem", `${rsaKey}`);
    await chmod(path, 0o644);
    await findsOnly(t, { ...env, INGEST_JWT_KEY_FILE: path }, [
      { check: "JWT key", verdict: "warning", message: /every user/, remedy: /^chmod 600/ },
      { check: "JWT key", verdict: "warning", message: /not published/ },
    ]);
    for (const type of ["pkcs1", "pkcs8"] as const) {
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
      const encrypted = privateKey.export({ format: "pem", type, cipher: "aes-256-cbc", passphrase: "x" });
      await findsOnly(t, { ...env, INGEST_JWT_KEY_FILE: await file("jwt-encrypted.pem", `${encrypted}`) }, [
        { check: "JWT key", verdict: "error", message: /is encrypted: write it without a passphrase/ },
      ]);
    }
    await query("insert into system_config (key, value) values ('jwt_private_key', 'garbage')");
    await findsOnly(t, env, [{ check: "JWT key", verdict: "warning", message: /system_config.jwt_private_key/ }]);
    await query("update system_config set value = $1", [await readFile(service.env.INGEST_JWT_KEY_FILE ?? "", "utf8")]);
    const { findings } = await examine(env);
    t.ok(findings.some(({ message }) => /earlier service's key as well/.test(message)));
    await query("delete from system_config");
    // Root may write anywhere, and says that this tells nothing of others.
    if (process.getuid?.() === 0) {
      const told = async () => (await examine(env)).findings.filter(({ check }) => check === "service's user");
      t.same(await told(), [], "the key file is root's");
      await chown(service.env.INGEST_JWT_KEY_FILE ?? "", 1001, 1001);
      t.match(await told(), [{ verdict: "skipped", message: /as root: whether user 1001, .* may read/ }]);
      return;
    }
    const readOnly = await makeDirectory(t);
    await chmod(readOnly, 0o500);
    await findsOnly(t, { ...env, INGEST_JWT_KEY_FILE: join(readOnly, "a", "b", "jwt.pem") }, [
      { check: "JWT key", verdict: "error", message: /cannot be written/, remedy: /the right to write there/ },
    ]);
  });
  await t.test("a running service, whatever becomes of its files", async (t) => {
    const [certFile, keyFile] = [await file("moved.crt", ""), await file("moved.key", "")];
    const gone = { ...env, INGEST_TLS_CERT: certFile, INGEST_TLS_KEY: keyFile };
    await findsOnly(t, gone, [{ check: "server certificate", verdict: "error" }]);
    const other = await createDevServerCertificate(["localhost"]);
    await Promise.all([writeFile(certFile, other.cert), writeFile(keyFile, other.key)]);
    await findsOnly(t, gone, [
      { check: "ports", verdict: "warning", message: /it shows is not the one in INGEST_TLS_CERT/ },
    ]);
  });
  await t.test("ports", async (t) => {
    const tls = await createDevServerCertificate(["localhost"]);
    const stranger = createHttpsServer(tls, (_, response) => response.end("{}")).listen(0);
    t.teardown(() => stranger.close());
    const strangersPort = (stranger.address() as { port: number }).port;
    await findsOnly(t, { ...env, INGEST_GRPC_PORT: String(strangersPort) }, [
      { check: "ports", verdict: "error", message: `INGEST_GRPC_PORT: another process listens on ${strangersPort}` },
    ]);
    const newer = createHttpServer((_, response) =>
      response.setHeader("Server", "ct-ops-ingest/9.9.9").end('{"keys":[]}'),
    );
    t.teardown(() => newer.close());
    const newersPort = (newer.listen(0).address() as { port: number }).port;
    await findsOnly(t, { ...env, INGEST_HTTP_PORT: String(newersPort) }, [
      { check: "ports", verdict: "warning", message: /^it is version 9\.9\.9, this command is/ },
    ]);
    const squatter = createServer((socket) => socket.end("no TLS").resume()).listen(0);
    t.teardown(() => squatter.close());
    const port = String((squatter.address() as { port: number }).port);
    await findsOnly(t, { ...env, INGEST_GRPC_PORT: port, INGEST_HTTP_PORT: port }, [
      { check: "ports", verdict: "error", message: `INGEST_GRPC_PORT: another process listens on ${port}` },
      { check: "ports", verdict: "error", message: `INGEST_HTTP_PORT: another process listens on ${port}` },
      { check: "ports", verdict: "error", message: /both on/ },
    ]);
  });
  await t.test("migrations", async (t) => {
    const [{ id } = { id: 0 }] = await query("select max(id) as id from ingest.migrations");
    await query("update ingest.migrations set created_at = created_at + 1 where id = $1", [id]);
    await findsOnly(t, env, [{ check: "migrations", verdict: "warning", message: /newer version/ }]);
    await query("delete from ingest.migrations where id = $1", [id]);
    await findsOnly(t, env, [{ check: "migrations", verdict: "warning", message: /^1 migrations/, remedy: /migrate/ }]);
    await query("alter table tags rename to labels");
    const { wrong } = await examine(env);
    t.match(wrong[0], { check: "migrations", verdict: "error", message: /missing: tags/ });
    await query("alter table labels rename to tags");
  });
  await t.test("agents", async (t) => {
    await query("delete from ingest.migrations");
    await query("insert into ingest.migrations (hash, created_at) select 'x', $1::bigint", [await newestMigration()]);
    await query("update agents set client_cert_not_after = now() + interval '13 days'");
    await findsOnly(t, env, [{ check: "agents", verdict: "warning", message: /within 14 days: 1 \(web-01\)/ }]);
    await query("update agents set client_cert_serial = null, client_cert_not_after = null, status = 'offline'");
    await findsOnly(t, env, [{ check: "agents", verdict: "warning", message: /without a client certificate: 1/ }]);
    await query("update agents set status = 'revoked' where id = $1", [agentId]);
    await findsOnly(t, env, []);
  });
  await t.test("descriptor limit", async (t) => {
    await query("alter table agents rename to real_agents");
    await query(`create view agents as select 'active' as status, null::timestamptz as deleted_at, 'h' as hostname, 'i' as id,
                 's' as client_cert_serial, null::timestamptz as client_cert_not_after from generate_series(1, 2000000)`);
    const { findings } = await examine(env);
    t.match(
      findings.find(({ check }) => check === "descriptor limit"),
      { verdict: "error", message: /2000000 agents/, remedy: /LimitNOFILE/ },
    );
    await query("drop view agents");
    await query("alter table real_agents rename to agents");
  });
  await t.test("updates of agents", async (t) => {
    const updates = (INGEST_WEB_SERVER_CERT: string, INGEST_RELEASE_MANIFEST_PATH: string) => ({
      ...env,
      INGEST_WEB_SERVER_CERT,
      INGEST_RELEASE_MANIFEST_PATH,
    });
    const missing = join(service.directory, "missing");
    await findsOnly(t, updates(missing, missing), [
      { check: "updates of agents", verdict: "warning", message: /INGEST_WEB_SERVER_CERT: .*ENOENT/, remedy: String },
      { check: "updates of agents", verdict: "warning", message: /INGEST_RELEASE_MANIFEST_PATH: .*ENOENT/ },
    ]);
    const { cert } = await createDevServerCertificate(["localhost"]);
    const [web, manifest] = [await file("web.crt", "none"), await file("manifest.json", '{"web": "v1.0.0"}')];
    await findsOnly(t, updates(web, manifest), [{ message: /INGEST_WEB_SERVER_CERT/ }, { message: /no version/ }]);
    await file("web.crt", cert);
    await file("manifest.json", '{"agent": "0.31.0"}');
    await findsOnly(t, updates(web, manifest), []);
    const { findings } = await examine(updates(web, manifest));
    t.ok(findings.some(({ message }) => message === "agents are told of v0.31.0"));
  });
  await t.test("features in use", async (t) => {
    await query(`create table alert_rules (id text, enabled boolean, deleted_at timestamptz);
                 create table certificates (id text);
                 insert into alert_rules values ('on', true, null), ('off', false, null), ('gone', true, now())`);
    await findsOnly(t, env, [
      { check: "features in use", verdict: "warning", message: /alert rules.*\(alert_rules: 1 in use\)/ },
    ]);
    await query(`drop table alert_rules, certificates;
                 create table terminal_sessions (id text, created_at timestamptz);
                 insert into terminal_sessions values ('long ago', now() - interval '31 days')`);
    await findsOnly(t, env, []);
    await query("insert into terminal_sessions values ('lately', now() - interval '29 days')");
    await findsOnly(t, env, [
      { check: "features in use", verdict: "warning", message: /terminals.*\(terminal_sessions: 1 in use\)/ },
    ]);
    // One that cannot be read hides nothing of the others.
    await query("create view alert_rules as select 1 / 0 as id");
    await findsOnly(t, env, [
      { check: "features in use", verdict: "error", message: /alert_rules.*division by zero/ },
      { check: "features in use", verdict: "warning", message: /terminals/ },
    ]);
  });
});

t.test("a database that cannot be reached, or has nothing in it, hides nothing else", async (t) => {
  const service = await startTestService(t);
  const env = { ...environmentOf(service), INGEST_TLS_CERT: "/nowhere/server.crt", INGEST_PORTS: "x" };
  const gone = await examine({ ...env, DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing" });
  t.match(gone.wrong, [
    { check: "configuration", message: /INGEST_PORTS/ },
    { check: "server certificate", message: /nowhere/ },
    { check: "database", verdict: "error", message: /ECONNREFUSED/ },
  ]);
  t.ok(gone.findings.some(({ check, verdict }) => check === "JWT key" && verdict === "ok"));
  t.match(
    gone.findings.filter(({ verdict }) => verdict === "skipped").map(({ check }) => check),
    [
      "connection limit",
      "migrations",
      "clock",
      "instances",
      "agent CA",
      "agents",
      "descriptor limit",
      "features in use",
    ],
  );

  const empty = await createEmptyDatabase(t);
  const { wrong, findings } = await examine({ ...environmentOf(service), DATABASE_URL: empty.url });
  t.match(wrong, [
    { check: "migrations", verdict: "error", message: /missing: agent_enrolment_tokens, / },
    { check: "migrations", verdict: "warning" },
  ]);
  t.match(
    findings.filter(({ verdict }) => verdict === "skipped").map(({ check }) => check),
    ["instances", "agent CA", "JWT key", "agents", "descriptor limit"],
  );

  const nothing = await runCommand({ DATABASE_URL: "", PATH: "/nowhere" }, ["doctor", "--json"]);
  t.equal(nothing.exitCode, 1);
  t.match(JSON.parse(nothing.output)[0], { check: "configuration", verdict: "error", message: /DATABASE_URL/ });
});

t.test("for people: a line for each, wrapped to the terminal, never a secret", async (t) => {
  const service = await startTestService(t);
  const env = { ...environmentOf(service), LDAP_ENCRYPTION_KEY: "a wrong secret" };
  const { output, errors, exitCode } = await runCommand(env, ["doctor"]);
  t.equal(exitCode, 1);
  t.match(output, /^ok +configuration +every variable can be used\n/);
  t.match(output, /\nerror +agent CA +the key of .*\n +→ set LDAP_ENCRYPTION_KEY/);
  t.equal(errors, "error: one thing is to be looked at");
  t.notMatch(output, /a wrong secret|-----BEGIN/);
  const wrapped = (await runCommand(env, ["doctor"], { columns: 72, hasColours: true })).output;
  t.match(wrapped, "\x1b[31merror\x1b[0m");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours have no width
  for (const line of wrapped.replace(/\x1b\[\d+m/g, "").split("\n")) t.ok(line.length <= 72, line);
});

t.test("clocks that disagree", async (t) => {
  const ahead = (ms: number) => ({
    db: { execute: async () => ({ rows: [{ ms: Date.now() + ms }] }) } as unknown as Queryable,
    configuration: { warnings: [], problems: [] },
    variables: {},
  });
  t.match(await clockCheck.run(ahead(1_000)), [{ verdict: "ok", message: /s behind the database's/ }]);
  t.match(await clockCheck.run(ahead(-30_000)), [{ verdict: "warning", message: /s ahead of/, remedy: /NTP/ }]);
  t.match(await clockCheck.run(ahead(90_000)), [{ verdict: "error" }]);
});

t.test("dates of a certificate", async (t) => {
  const day = 24 * 60 * 60 * 1000;
  const check = (fromDays: number, toDays: number) =>
    checkDates(
      "it",
      { notBefore: new Date(Date.now() + fromDays * day), notAfter: new Date(Date.now() + toDays * day) },
      "x",
    );
  t.match(check(-1, 31), { verdict: "ok" });
  t.match(check(-1, 29.5), { verdict: "warning", message: "it expires in 29 days" });
  t.match(check(-2, -1), { verdict: "error", message: /expired on/ });
  t.match(check(1, 90), { verdict: "error", message: /not valid before/ });
});

async function newestMigration(): Promise<number> {
  const journal = await readFile(new URL("../../drizzle/ingest/meta/_journal.json", import.meta.url), "utf8");
  const { entries } = JSON.parse(journal) as { entries: { when: number }[] };
  return Math.max(...entries.map(({ when }) => when));
}
