import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { status as Code } from "@grpc/grpc-js";
import { decodeJwt, decodeProtectedHeader, importPKCS8, SignJWT } from "jose";
import t from "tap";
import {
  enrol,
  heartbeat,
  openLiveStream,
  openStream,
  type TestIdentity,
  type TestStream,
} from "../support/agents/field-agent.js";
import { uploadInventory } from "../support/agents/inventory-upload.js";
import { recordStatements } from "../support/database/statements.js";
import {
  insertCheck,
  insertHosts,
  insertQuery,
  insertRun,
  readTasks,
  type TestHost,
} from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

const service = await startTestService(t);
const second = await startTestService(t, { of: service });
const { database } = service;
const token = await service.createToken();

interface Enrolled {
  identity: TestIdentity;
  host: TestHost;
}

async function enrolHost(): Promise<Enrolled> {
  const identity = await enrol(service, token);
  const [row] = await database.query<{ id: string; organisation_id: string }>(
    "select id, organisation_id from hosts where agent_id = $1",
    [identity.agentId],
  );
  const host = { agentId: identity.agentId, hostId: row?.id ?? "", organisationId: row?.organisation_id ?? "" };
  return { identity, host };
}

type Answer = Awaited<ReturnType<TestStream["next"]>>;

/** The next answer that pushes something; acknowledgements are passed over. */
async function nextPush(stream: TestStream, field: string): Promise<Answer> {
  for (;;) {
    const answer = await stream.next();
    const value = answer[field];
    if (Array.isArray(value) ? value.length > 0 : Boolean(value)) return answer;
  }
}

t.test(
  "what the web app writes reaches the agent, and what comes back is stored before it is acknowledged",
  async (t) => {
    const { identity, host } = await enrolHost();
    const stream = await openLiveStream(service, identity);

    const checkId = await insertCheck(database, host);
    const checks = await nextPush(stream, "checks");
    t.match(checks, { ok: true, checks: [{ checkId, checkType: "port", intervalSeconds: 60 }] });
    const queryId = await insertQuery(database, host);
    t.match(await nextPush(stream, "pendingQueries"), { pendingQueries: [{ queryId, queryType: "list_ports" }] });
    const { taskIds } = await insertRun(database, [host]);
    const [taskId] = taskIds;
    t.match(await nextPush(stream, "pendingTask"), { pendingTask: { taskId, taskType: "custom_script" } });

    stream.send(
      heartbeat(identity.agentId, {
        checkResults: [{ checkId, status: "fail", output: "refused", durationMs: 4, ranAtUnix: 1_700_000_000 }],
        queryResults: [{ queryId, queryType: "list_ports", status: "ok", ports: [{ port: 80, protocol: "tcp" }] }],
        taskProgress: [{ taskId, outputChunk: "hello" }],
        taskResults: [{ taskId, exitCode: 3, error: "bad" }],
      }),
    );
    t.match(await stream.next(), { ok: true });
    const [result] = await database.query("select status from check_results where check_id = $1", [checkId]);
    t.match(result, { status: "fail" });
    const [query] = await database.query("select status from agent_queries where id = $1", [queryId]);
    t.match(query, { status: "complete" });
    t.match((await readTasks(database, taskIds))[0], { status: "failed", exit_code: 3, raw_output: "hello\nbad" });

    const stopped = await insertRun(database, [host]);
    await nextPush(stream, "pendingTask");
    await database.query("update task_run_hosts set status = 'cancelling' where id = $1", stopped.taskIds);
    t.match(await nextPush(stream, "cancelTaskIds"), { cancelTaskIds: stopped.taskIds });
    stream.end();
    await stream.ended;
  },
);

t.test("a task ends on a later stream, on another instance", async (t) => {
  const { identity, host } = await enrolHost();
  const { taskIds } = await insertRun(database, [host]);
  const stream = await openLiveStream(service, identity);
  await nextPush(stream, "pendingTask");
  stream.destroy();
  const next = openStream(second, identity);
  next.send(
    heartbeat(identity.jwt, { taskResults: [{ taskId: taskIds[0], exitCode: 0, resultJson: '{"exit_code":0}' }] }),
  );
  t.match(await next.next(), { ok: true });
  t.match((await readTasks(database, taskIds))[0], { status: "success", result: { exit_code: 0 } });
  next.destroy();
});

t.test("10,000 rows in one transaction are read about in some few statements", async (t) => {
  const { identity, host } = await enrolHost();
  const stream = await openLiveStream(service, identity);
  const others = await insertHosts(database, 9_999);
  const rows = JSON.stringify([host, ...others].map((each, n) => ({ ...each, id: `bulk${n}` })));
  const from = `from jsonb_to_recordset($1::jsonb) as b(id text, "hostId" text, "organisationId" text)`;
  const inserts = {
    checks: `insert into checks (id, organisation_id, host_id, name, check_type, config)
             select id, "organisationId", "hostId", 'bulk', 'port', '{}' ${from}`,
    pendingQueries: `insert into agent_queries (id, organisation_id, host_id, query_type, expires_at)
                     select id, "organisationId", "hostId", 'list_ports', now() + interval '2 minutes' ${from}`,
    pendingTask: `with run as (
                    insert into task_runs (id, organisation_id, target_type, target_id, task_type, config, max_parallel)
                    values ('bulk', (select "organisationId" ${from} limit 1), 'group', 'g', 'custom_script', '{}', 0)
                  )
                  insert into task_run_hosts (id, organisation_id, task_run_id, host_id)
                  select id, "organisationId", 'bulk', "hostId" ${from}`,
  };
  for (const [field, insert] of Object.entries(inserts)) {
    const statements = await recordStatements(async () => {
      await database.query(insert, [rows]);
      await nextPush(stream, field);
    });
    const ours = statements.filter(({ text }) => text !== insert && /checks|agent_queries|task_run/.test(text));
    t.ok(ours.length > 0 && ours.length <= 5, `${ours.length} statements for ${field}`);
  }
  stream.destroy();
});

t.test("a heartbeat is accepted whatever result it carries", async (t) => {
  const { identity } = await enrolHost();
  const stream = await openLiveStream(service, identity);
  stream.send(
    heartbeat(identity.agentId, {
      checkResults: [{ checkId: "\0", status: "\0", output: "", ranAtUnix: "9223372036854775807" }],
      queryResults: [{ queryId: "x".repeat(10_000), status: "" }],
      taskProgress: [{ taskId: "", outputChunk: "\0" }],
      taskResults: [{ taskId: "nobody's", exitCode: -2_147_483_648, resultJson: '"\\u0000"' }],
    }),
  );
  t.match(await stream.next(), { ok: true });
  stream.destroy();
});

/** The same claims, signed by the same key, expired long ago. */
async function expire(jwt: string): Promise<string> {
  const pem = await readFile(service.env.INGEST_JWT_KEY_FILE ?? "", "utf8");
  const pkcs8 = createPrivateKey(pem).export({ format: "pem", type: "pkcs8" }).toString();
  return new SignJWT({ ...decodeJwt(jwt), iat: 1_600_000_000, exp: 1_600_086_400 })
    .setProtectedHeader({ ...decodeProtectedHeader(jwt), alg: "RS256" })
    .sign(await importPKCS8(pkcs8, "RS256"));
}

t.test("an inventory comes on a second connection, also with a JWT that expired long ago", async (t) => {
  const { identity, host } = await enrolHost();
  const stream = await openLiveStream(service, identity);
  const { taskIds } = await insertRun(database, [host], { type: "software_inventory" });
  const [scanId] = taskIds;
  await nextPush(stream, "pendingTask");
  const chunk = { scanId, source: "dpkg", packages: [{ name: "bash", version: "5", architecture: "amd64" }] };
  const chunks = [chunk, { ...chunk, chunkIndex: 1, isLast: true, packages: [] }];
  const other = await enrolHost();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const forged = await new SignJWT(decodeJwt(identity.jwt) as Record<string, unknown>)
    .setProtectedHeader({ ...decodeProtectedHeader(identity.jwt), alg: "RS256" })
    .sign(privateKey);
  for (const [jwt, why] of [
    ["", "no JWT"],
    [forged, "a forged one"],
    [other.identity.jwt, "another agent's"],
    [await expire(other.identity.jwt), "another agent's, expired"],
  ] as const) {
    await t.rejects(uploadInventory(service, identity, jwt, chunks), { code: Code.UNAUTHENTICATED }, why);
  }
  await t.rejects(uploadInventory(service, undefined, identity.jwt, chunks), { code: Code.UNAUTHENTICATED });
  await t.rejects(uploadInventory(service, other.identity, other.identity.jwt, chunks), { code: Code.NOT_FOUND });
  t.match(await uploadInventory(service, identity, await expire(identity.jwt), chunks), { received: 1 });
  t.match((await readTasks(database, taskIds))[0], { status: "success" });
  stream.destroy();
});

t.test("uploads of one host at once, on two instances, leave one state, and a third is refused", async (t) => {
  const { identity, host } = await enrolHost();
  const { taskIds, runId } = await insertRun(database, [host], { type: "software_inventory", status: "running" });
  const chunksOf = (names: string[]) =>
    Array.from({ length: 40 }, (_, chunkIndex) => ({
      scanId: taskIds[0],
      source: "dpkg",
      chunkIndex,
      isLast: chunkIndex === 39,
      packages: names.map((name) => ({ name: `${name}-${chunkIndex}`, version: "1", architecture: "amd64" })),
    }));
  const ends = await Promise.allSettled([
    uploadInventory(service, identity, identity.jwt, chunksOf(["a", "b", "c"])),
    uploadInventory(second, identity, identity.jwt, chunksOf(["c", "b", "d"])),
    uploadInventory(service, identity, identity.jwt, chunksOf(["b", "c", "a"])),
  ]);
  const stored = ends.filter(({ status }) => status === "fulfilled").length;
  for (const end of ends) if (end.status === "rejected") t.match(end.reason, { code: Code.NOT_FOUND });
  t.ok(stored > 0, `${stored} of three were stored`);
  t.match((await readTasks(database, taskIds))[0], { status: "success", exit_code: 0 });
  const [run] = await database.query("select status from task_runs where id = $1", [runId]);
  t.match(run, { status: "completed" });
  const packages = await database.query<{ kind: string; there: boolean; count: number }>(
    `select left(name, 1) as kind, removed_at is null as there, count(*)::int as count
     from software_packages where host_id = $1 group by 1, 2 order by 1`,
    [host.hostId],
  );
  const there = packages.filter((row) => row.there).map(({ kind }) => kind);
  t.ok(["abc", "bcd"].includes(there.join("")), `${there}: of the one that was stored last`);
  t.ok(
    packages.every(({ count }) => count === 40),
    "and all of it",
  );
  const scans = await database.query("select status from software_scans where host_id = $1", [host.hostId]);
  t.same(new Set(scans.map(({ status }) => status)), new Set(["success"]));
  t.equal(scans.length, stored);
  await t.rejects(uploadInventory(service, identity, identity.jwt, chunksOf(["e"])), { code: Code.NOT_FOUND });
});

t.test("an agent before 0.30.2 names itself in its first message", async (t) => {
  const { identity } = await enrolHost();
  const strict = openStream(service, identity);
  strict.send(heartbeat(identity.agentId));
  t.match(await strict.ended, { code: Code.UNAUTHENTICATED });
  const lenient = await startTestService(t, {
    of: service,
    env: { INGEST_ACCEPT_ID_WITHOUT_JWT: "true", INGEST_LATEST_AGENT_VERSION: "v9.9.9" },
  });
  const accepted = openStream(lenient, identity);
  accepted.send(heartbeat(identity.agentId, { agentVersion: "v0.30.1" }));
  t.match(await nextPush(accepted, "updateAvailable"), {
    latestVersion: "v9.9.9",
    downloadUrl: "http://localhost:3000/api/agent/download",
  });
  accepted.destroy();
  const other = await enrolHost();
  const wrong = openStream(lenient, identity);
  wrong.send(heartbeat(other.identity.agentId));
  t.match(await wrong.ended, { code: Code.UNAUTHENTICATED }, "only its own id");
});

t.test("a task over two instances never has more rows running than allowed", async (t) => {
  const hosts: Enrolled[] = [];
  for (let n = 0; n < 6; n++) hosts.push(await enrolHost());
  const streams = await Promise.all(
    hosts.map(({ identity }, n) => openLiveStream(n % 2 === 0 ? service : second, identity)),
  );
  const { taskIds, runId } = await insertRun(
    database,
    hosts.map(({ host }) => host),
    { maxParallel: 2 },
  );
  await Promise.all(
    streams.map(async (stream, n) => {
      const { pendingTask } = (await nextPush(stream, "pendingTask")) as unknown as { pendingTask: { taskId: string } };
      const [row] = await database.query<{ count: number }>(
        "select count(*)::int as count from task_run_hosts where task_run_id = $1 and status = 'running'",
        [runId],
      );
      if ((row?.count ?? 0) > 2) t.fail(`${row?.count} rows run`);
      const taskResults = [{ taskId: pendingTask.taskId, exitCode: 0 }];
      stream.send(heartbeat(hosts[n]?.identity.agentId ?? "", { taskResults }));
      await stream.next();
      stream.destroy();
    }),
  );
  const rows = await eventually(
    () => readTasks(database, taskIds),
    (all) => all.every(({ status }) => status === "success"),
  );
  t.equal(rows.length, 6);
});
