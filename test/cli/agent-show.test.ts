import { createHash } from "node:crypto";
import t from "tap";
import { createTestKey, enrol, openLiveStream, register, registration } from "../support/agents/field-agent.js";
import { runCommand } from "../support/commands/cli.js";
import { connectTo } from "../support/database/database.js";
import { recordStatements } from "../support/database/statements.js";
import { insertCheck, insertHosts, insertQuery, insertRun, type TestHost } from "../support/database/work-rows.js";
import { eventually } from "../support/eventually.js";
import { startTestService } from "../support/service.js";

t.test("agent show tells all that is known, refusals included, and no secret", async (t) => {
  const service = await startTestService(t);
  const { query } = service.database;
  const token = await service.createToken({ label: "web servers", tags: [{ key: "role", value: "web" }] });
  const identity = await enrol(service, token);
  const id = identity.agentId;
  await query(`
    insert into networks (id, organisation_id, name, cidr) select 'n1', id, 'office', '192.0.2.0/24' from organisations`);
  const stream = await openLiveStream(service, identity);
  stream.end();
  await stream.ended;
  await query(`update hosts set metadata = metadata || '{"sshHostKeySha256":"not ours to show"}'`);
  await query(`insert into revoked_certificates (id, organisation_id, serial, reason)
               select 'r', organisation_id, client_cert_serial, 'lost laptop' from agents`);
  const other = await registration(createTestKey(), "ctops_wrong");
  await t.rejects(register(service, { ...other, agentInfo: { hostname: "WEB-01", version: "" } }));
  await t.rejects(openLiveStream(service, identity), { message: /revoked/ });
  await eventually(
    () => query("select 1 from ingest.refusals"),
    (rows) => rows.length === 2,
  );

  const { output, exitCode } = await runCommand(service.env, ["agent", "show", id, "--json"]);
  t.equal(exitCode, 0);
  const report = JSON.parse(output);
  t.match(report, {
    agent: {
      id,
      hostname: "web-01",
      status: "offline",
      version: "v1.2.3",
      publicKeySha256: createHash("sha256").update(identity.key.raw).digest("hex"),
    },
    organisation: { slug: "test" },
    enrolmentToken: { label: "web servers" },
    session: { epoch: 1, instanceId: String, openedAt: String },
    certificates: [{ onRecord: true, revokedReason: "lost laptop", notAfter: String }],
    host: { hostname: "web-01", cpuPercent: 12.5, disks: [{ mount_point: "/" }], networkInterfaces: Array },
    tags: [{ key: "role", value: "web" }],
    networks: [{ name: "office", cidr: "192.0.2.0/24", autoAssigned: true }],
    history: [{ status: "offline" }, { status: "active" }, { status: "pending" }],
    refusals: [
      { method: "Heartbeat", reason: "client_certificate_revoked", matchedBy: "id", agentId: id },
      { method: "Register", reason: "token_unknown", matchedBy: "hostname", hostname: "WEB-01" },
    ],
  });

  const text = (await runCommand(service.env, ["agent", "show", id])).output;
  t.match(text, /^Agent\n {2}id +[a-z0-9]{24}\n {2}hostname +web-01\n {2}status +offline\n/);
  t.match(text, /Client certificates\n {2}SERIAL .*\n {2}[0-9a-f]+ +revoked/);
  t.match(text, /Last refusals\n {2}TIME .*\n.* Heartbeat +client_certificate_revoked/);
  t.match(text, /tags +role=web\n {2}networks +office \(192\.0\.2\.0\/24\)/);
  for (const shown of [output, text]) {
    t.notMatch(shown, /-----BEGIN|ctops_|not ours to show/);
    t.notOk(shown.includes(identity.key.raw.toString("base64")));
  }
  await query("update hosts set cpu_percent = 0, uptime_seconds = 0");
  t.match((await runCommand(service.env, ["agent", "show", id])).output, /cpu +0 %\n(.*\n)*.*uptime +0 s\n/);
  const onTerminal = await runCommand(service.env, ["agent", "show", id], { columns: 70, hasColours: true });
  const tables = onTerminal.output.slice(onTerminal.output.indexOf("Client certificates"));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours have no width
  for (const line of tables.replace(/\x1b\[\d+m/g, "").split("\n")) t.ok([...line].length <= 70, line);
});

t.test("agent show lists checks with their last result, and what has not ended", async (t) => {
  const service = await startTestService(t);
  const { database } = service;
  const { agentId } = await enrol(service, await service.createToken());
  const [row] = await database.query("select id, organisation_id from hosts");
  const host = { agentId, hostId: String(row?.id), organisationId: String(row?.organisation_id) };
  const other = (await insertHosts(database, 1))[0] as TestHost;
  const config = { filePath: "/etc/x.p12", password: "not ours to show" };
  const checkIds = [
    await insertCheck(database, host, { config }),
    await insertCheck(database, host, { enabled: false }),
    await insertCheck(database, host, { check_type: "deleted" }),
    await insertCheck(database, other, { check_type: "others" }),
  ];
  await database.query("update checks set name = check_type || enabled");
  await database.query("update checks set deleted_at = now() where check_type = 'deleted'");
  // 20,000 results, as 200 checks have them: more than a statement may read.
  await database.query(
    `insert into checks (id, organisation_id, host_id, name, check_type, config)
     select 'c' || n, $1, $2, 'c', 'port', '{}' from generate_series(1, 199) n`,
    [other.organisationId, other.hostId],
  );
  // Without looking up 20,000 times what a row refers to.
  await database.query("set session_replication_role = replica");
  await database.query(
    `insert into check_results (id, check_id, host_id, organisation_id, ran_at, status, output)
     select c.id || '-' || n, c.id, c.host_id, c.organisation_id, timestamptz '2027-01-15' + n * interval '1 minute',
            case n when 100 then 'fail' else 'pass' end, repeat('x', 300)
     from checks c, generate_series(1, 100) n`,
  );
  await database.query("reset session_replication_role");
  await database.query("delete from check_results where check_id = $1", [checkIds[1]]);
  await database.query("analyze");
  const running = await insertRun(database, [host, other], { status: "running" });
  await insertRun(database, [host], { status: "success" });
  const queryId = await insertQuery(database, host);

  const show = (...args: string[]) => runCommand(service.env, ["agent", "show", agentId, ...args]);
  let json = "";
  const statements = await recordStatements(async () => {
    json = (await show("--json")).output;
  });
  const { checks, openWork } = JSON.parse(json);
  t.match(checks, [
    { name: "portfalse", enabled: false, lastResult: null },
    { name: "porttrue", lastResult: { status: "fail", ranAt: "2027-01-15T01:40:00.000Z", output: /^x{200}$/ } },
  ]);
  t.equal(checks.length, 2);
  t.same(openWork.map(({ id }: { id: string }) => id).sort(), [queryId, running.taskIds[0]].sort());
  const { output: text } = await show("--wide");
  t.match(text, /Checks\n.*\n {2}portfalse \(disabled\) +port +60 s +none\n {2}porttrue +port +60 s +fail +2027-01-15/);
  t.match(text, new RegExp(`Open queries and tasks\n(.*\n)*  ${running.taskIds[0]} +task custom_script +running`));
  for (const shown of [json, text]) t.notMatch(shown, /not ours to show/);

  const reading = statements.filter(({ text }) => /from checks c|agent_queries/.test(text));
  t.equal(reading.length, 2, "one statement each");
  const client = await connectTo(t, database.url);
  for (const { text, values } of reading) {
    const { rows } = await client.query(`explain ${text}`, values);
    const plan = rows.map((line) => line["QUERY PLAN"]).join("\n");
    t.notMatch(plan, /Seq Scan on check_results/, plan);
    await client.query("set enable_seqscan = off");
    const { rows: small } = await client.query(`explain ${text}`, values);
    t.notMatch(JSON.stringify(small), /Seq Scan/, "small tables too");
    await client.query("reset enable_seqscan");
  }
});

t.test("an agent of which little is known", async (t) => {
  const service = await startTestService(t);
  await service.database.query(`
    insert into agents (id, organisation_id, hostname, public_key, deleted_at)
    select '1old', id, 'gone', 'no key', now() from organisations`);
  const report = JSON.parse((await runCommand(service.env, ["agent", "show", "1old", "--json"])).output);
  t.match(report, { agent: { publicKeySha256: null, deletedAt: String }, certificates: [], session: null });
  t.match(
    (await runCommand(service.env, ["agent", "show", "1old"])).output,
    /Host\nnone\n\nChecks\nnone\n\nOpen queries and tasks\nnone\n\nClient certificates\nnone/,
  );
  t.match(await runCommand(service.env, ["agent", "show", "nobody"]), {
    exitCode: 1,
    errors: /no agent has the id nobody/,
  });
});
