import { randomBytes } from "node:crypto";
import { status as Code } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import { startApp } from "../../dist/app/app.js";
import { parseConfig } from "../../dist/config/config.js";
import { createLogger } from "../../dist/observe/logger.js";
import {
  createTestKey,
  enrol,
  heartbeat,
  openLiveStream,
  register,
  registration,
} from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase, TEMPLATES, type TestDatabase } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { makeDirectory, serviceEnvironment, startTestService, writeServiceFiles } from "../support/service.js";

function nameOf({ url }: TestDatabase): string {
  return new URL(url).pathname.slice(1);
}

async function makeDatabase(t: Test): Promise<TestDatabase> {
  return createTestDatabase(t, TEMPLATES.withAgentCa);
}

t.test("a database with other settings, through few connections", async (t) => {
  const database = await makeDatabase(t);
  for (const setting of [
    "DateStyle = 'German, DMY'",
    "IntervalStyle = 'iso_8601'",
    "TimeZone = 'Australia/Lord_Howe'",
    "search_path = 'elsewhere'",
    "standard_conforming_strings = off",
    "default_transaction_isolation = 'serializable'",
    "array_nulls = off",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "idle_in_transaction_session_timeout = '1ms'",
    "statement_timeout = '1s'",
    "client_encoding = 'LATIN1'",
  ]) {
    await database.query(`alter database ${nameOf(database)} set ${setting}`);
  }
  const service = await startTestService(t, { on: database, env: { INGEST_DATABASE_POOL_SIZE: "3" } });
  const token = await service.createToken({ tags: [{ key: "läge", value: "süd\\ost" }] });
  const agents = await Promise.all(Array.from({ length: 12 }, () => enrol(service, token)));
  await Promise.all(
    agents.map(async (agent) => {
      const stream = await openLiveStream(service, agent);
      stream.send(heartbeat(agent.agentId, { cpuPercent: 33.3 }));
      t.match(await stream.next(), { ok: true });
      stream.end();
      await stream.ended;
    }),
  );
  const { output, exitCode } = await runCommand(service.env, ["agent", "list", "--json"]);
  t.equal(exitCode, 0);
  const [shown] = JSON.parse(output);
  t.ok(
    Math.abs(Date.parse(shown.lastHeartbeatAt) - Date.now()) < 600_000,
    `a time is a time: ${shown.lastHeartbeatAt}`,
  );
  t.match(await database.query("select distinct cpu_percent from host_metrics where cpu_percent > 30"), [
    { cpu_percent: 33.3 },
  ]);
  t.match(await database.query("select key, value from tags"), [{ key: "läge", value: "süd\\ost" }]);
});

t.test("a database that can only be read is waited for, and nobody loses an identity", async (t) => {
  const service = await startTestService(t, {
    timing: { databaseHealth: { probeIntervalMs: 100, unhealthyAfterMs: 500 } },
  });
  const { database } = service;
  const token = await service.createToken();
  const agent = await enrol(service, token);
  const stream = await openLiveStream(service, agent);
  const renew = () =>
    // Sessions that are open keep what they began with; a failover would end them as well.
    database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
  await database.query(`alter database ${nameOf(database)} set default_transaction_read_only = on`);
  await renew();

  stream.send(heartbeat(agent.agentId, { cpuPercent: 66 }));
  const answer = stream.next();
  const healthz = async () => {
    const response = await fetch(`http://localhost:${service.httpPort}/healthz`);
    return { status: response.status, body: await response.text() };
  };
  const { body } = await eventually(healthz, ({ status }) => status === 503);
  t.match(body, /^the database has been read-only for \d+ s: a standby, or made so$/);
  const newcomer = createTestKey();
  await t.rejects(register(service, await registration(newcomer, token)), { code: Code.UNAVAILABLE });

  // As a failed database that comes back: nobody ends the sessions that are read-only.
  await database.query(`alter database ${nameOf(database)} reset default_transaction_read_only`);
  t.match(await answer, { ok: true });
  t.match(await database.query("select cpu_percent from hosts where cpu_percent > 60"), [{ cpu_percent: 66 }]);
  await eventually(healthz, ({ status }) => status === 200);
  t.match(await register(service, await registration(newcomer, token)), { status: "active" });
});

t.test("a role that may not create anything runs the service on a database that is migrated", async (t) => {
  const database = await makeDatabase(t);
  const role = `test_${randomBytes(8).toString("hex")}`;
  await database.query(`create role ${role} login password 'secret'`);
  t.teardown(() => database.query(`drop owned by ${role}; drop role ${role}`));
  for (const schema of ["public", "ingest"]) {
    await database.query(`grant usage on schema ${schema} to ${role}`);
    await database.query(`grant select, insert, update, delete on all tables in schema ${schema} to ${role}`);
  }
  const url = new URL(database.url);
  url.username = role;
  url.password = "secret";
  const service = await startTestService(t, { on: database, env: { DATABASE_URL: url.href } });
  const agent = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, agent);
  await database.query("update agents set status = 'revoked'");
  t.match(await stream.ended, { code: Code.PERMISSION_DENIED }, "and hears of changes");
  t.match(await runCommand(service.env, ["migrate"]), { exitCode: 0 });

  await database.query(
    "delete from ingest.migrations where created_at = (select max(created_at) from ingest.migrations)",
  );
  t.match(await runCommand(service.env, ["migrate"]), {
    exitCode: 1,
    errors: new RegExp(
      `error: 1 migrations are to be applied, and the role ${role} may not: permission denied for database .*; run ` +
        "`ct-ops-ingest migrate` once with a DATABASE_URL whose role owns the platform's tables$",
    ),
  });
});

t.test("a database that a newer version has migrated is refused", async (t) => {
  const database = await makeDatabase(t);
  await database.query("insert into ingest.migrations (hash, created_at) values ('', 9999999999999)");
  const directory = await makeDirectory(t);
  await writeServiceFiles(directory);
  const env = serviceEnvironment(directory, database.url);
  const parsed = parseConfig(env);
  if ("problems" in parsed) throw new Error(parsed.problems.join("\n"));
  const message = "a newer version of this service has migrated the database: run that version, on all instances";
  await t.rejects(startApp(parsed.config, createLogger("silent")), { code: "database_newer", message });
  t.match(await runCommand(env, ["migrate"]), { exitCode: 1, errors: new RegExp(`error: ${message}$`) });
});
