import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status as Code } from "@grpc/grpc-js";
import { sql } from "drizzle-orm";
import t, { type Test } from "tap";
import { describeError } from "../../dist/cli/interaction/describe-error.js";
import { openDatabase } from "../../dist/store/database.js";
import { enrol, openLiveStream } from "../support/agents/field-agent.js";
import { createTestDatabase, TEMPLATES } from "../support/database/database.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { needProgram } from "../support/programs.js";
import { makeDirectory, startTestService } from "../support/service.js";

const pgbouncer = await needProgram("pgbouncer");

t.test("PgBouncer in session mode", { skip: pgbouncer.skip }, async (t) => {
  const database = await createTestDatabase(t, TEMPLATES.withAgentCa);
  const url = await startPgbouncer(t, database.url);

  const options = encodeURIComponent("-c work_mem=5MB -c statement_timeout=0");
  const pooled = openDatabase({ url: `${url}?options=${options}`, purpose: "test" });
  t.teardown(() => pooled.close());
  const { rows } = await pooled.db.execute(sql`
    select name, current_setting(name) as value
    from unnest(array['statement_timeout', 'lock_timeout', 'work_mem', 'application_name']) as s(name)`);
  t.same(rows, [
    { name: "statement_timeout", value: "30s" },
    { name: "lock_timeout", value: "5s" },
    { name: "work_mem", value: "5MB" },
    { name: "application_name", value: "ct-ops-ingest test" },
  ]);

  const service = await startTestService(t, { on: database, env: { DATABASE_URL: `${url}?options=${options}` } });
  const agent = await enrol(service, await service.createToken());
  const stream = await openLiveStream(service, agent);
  await database.query("update agents set status = 'revoked'");
  t.match(await stream.ended, { code: Code.PERMISSION_DENIED });

  const unknown = openDatabase({ url: `${url}?options=endpoint%3Dx` });
  t.teardown(() => unknown.close());
  const refusal = await unknown.db.execute(sql`select 1`).then(
    () => t.fail("it succeeded"),
    (error: unknown) => describeError(error),
  );
  t.match(refusal, /unsupported startup parameter: options; look into the log of the pooler/);
});

const RESETS_NOTHING = "PgBouncer that resets nothing: who gets the session of another one keeps statements of its own";

t.test(RESETS_NOTHING, { skip: pgbouncer.skip }, async (t) => {
  const database = await createTestDatabase(t);
  const url = await startPgbouncer(t, database.url, "server_reset_query =\ndefault_pool_size = 1");
  const sessions: (number | undefined)[] = [];
  for (const value of [1, 2]) {
    const pooled = openDatabase({ url, maxConnections: 1 });
    t.teardown(() => pooled.close());
    const { rows } = await pooled.transaction(
      (tx) => tx.execute<{ value: number; pid: number }>(sql`select ${value}::int as value, pg_backend_pid() as pid`),
      { keepsStatements: true },
    );
    t.match(rows, [{ value }]);
    sessions.push(rows[0]?.pid);
    await pooled.close();
  }
  t.equal(sessions[0], sessions[1], "it is the same session");
});

/** Starts it in front of a server, and returns the URL of the same database by way of it. */
async function startPgbouncer(t: Test, target: string, settings = ""): Promise<string> {
  const { hostname, port: targetPort, username, password, pathname } = new URL(target);
  const directory = await makeDirectory(t);
  // It refuses to run as root, and reads its file as the user it becomes.
  await chmod(directory, 0o755);
  const port = await freePort();
  const file = join(directory, "pgbouncer.ini");
  await writeFile(
    file,
    `[databases]
* = host=${hostname} port=${targetPort} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = session
${settings}
${process.getuid?.() === 0 ? "user = nobody" : ""}
`,
  );
  const bouncer = spawn(pgbouncer.path, ["-q", file], { stdio: "ignore" });
  t.teardown(async () => {
    bouncer.kill("SIGKILL");
    if (bouncer.exitCode === null && bouncer.signalCode === null) await once(bouncer, "exit");
  });
  const url = `postgres://anybody@127.0.0.1:${port}${pathname}`;
  const probe = openDatabase({ url, maxConnections: 1 });
  await eventually(
    () =>
      probe.db.execute(sql`select 1`).then(
        () => true,
        () => false,
      ),
    (answers) => answers,
  );
  await probe.close();
  return url;
}
