import { createHash } from "node:crypto";
import t from "tap";
import { printable, printableOutput } from "../../dist/cli/terminal/printable.js";
import { runCommand } from "../support/commands/cli.js";
import { createTestDatabase } from "../support/database/database.js";
import { insertHosts, insertQuery, insertRun, type TestHost } from "../support/database/work-rows.js";

/** C0, DEL, C1 (a CSI of one byte), bidirectional, zero-width, a filler, a tag; after each a letter. */
const HOSTILE = "\x1b[31mA\x07B\x7fC\x9b2JD\u202eE\u200bF\u2066G\ufeffH\u3164I\u{e0041}J\u2028K\r\nL\u00adM";
const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u3164]/u;

t.test("what cannot be seen is escaped, and everything else stays", (t) => {
  t.equal(printable("ünïcödé 🙂 日本"), "ünïcödé 🙂 日本");
  t.notMatch(printable(HOSTILE), UNSEEN);
  t.equal(printable("a\nb\tc\u{e0041}\ud800"), String.raw`a\u000ab\u0009c\udb40\udc41\ud800`);
  const raw: string[] = [];
  for (let unit = 0; unit < 0x110000; unit += unit < 0x3000 ? 1 : 0xff) {
    const character = String.fromCodePoint(unit);
    if (!/^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]$/u.test(character)) continue;
    if (!/^(\\u[0-9a-f]{4})+$/.test(printable(character))) raw.push(unit.toString(16));
  }
  t.same(raw, []);
  t.end();
});

t.test("output keeps its lines, its colours where there are any, and is the same JSON", (t) => {
  const colours = { hasColours: true };
  const plain = { hasColours: false };
  t.equal(printableOutput("a\n\x1b[32mactive\x1b[0m", colours), "a\n\x1b[32mactive\x1b[0m");
  t.equal(printableOutput("\x1b[32ma", plain), String.raw`\u001b[32ma`);
  t.equal(printableOutput("\x1b[2Ja", colours), String.raw`\u001b[2Ja`);
  const json = printableOutput(JSON.stringify({ name: HOSTILE }), colours);
  t.notMatch(json, UNSEEN);
  t.same(JSON.parse(json), { name: HOSTILE });
  t.end();
});

t.test("no command shows what is in the database, or what it was given, in a way that steers a terminal", async (t) => {
  const database = await createTestDatabase(t);
  const { query } = database;
  const hosts = (await insertHosts(database, 2)) as [TestHost, TestHost];
  await insertRun(database, hosts, { status: "running" });
  await insertQuery(database, hosts[0]);
  const fingerprint = createHash("sha256").update("a CA").digest("hex");
  for (const statement of [
    "update organisations set name = $1",
    "update hosts set hostname = $1, display_name = $1, os = $1, ip_addresses = jsonb_build_array($1::text)",
    "update agents set hostname = $1, version = $1, os = $1, arch = $1",
    "update task_runs set task_type = $1",
    "update agent_queries set query_type = $1",
    `insert into agent_status_history (id, agent_id, organisation_id, status, reason, created_at)
     select id, id, organisation_id, 'pending', $1, now() from agents`,
    `insert into ingest.refusals (id, refused_at, method, reason, message, agent_id, remote_address)
     select id, now(), $1, $1, $1, id, $1 from agents`,
    `insert into ingest.address_remarks (agent_id, host_id, hostname, addresses, since)
     select id, 'h', $1, array[$1], now() from agents`,
    `insert into agent_enrolment_tokens (id, organisation_id, label, token, token_hash, created_by_id)
     select 'token', o.id, $1, 'x', 'x', u.id from organisations o, "user" u limit 1`,
    `insert into tags (id, organisation_id, key, value) select 'tag', id, $1, $1 from organisations limit 1`,
    `insert into ingest.publishers (instance_id, broker, connected, in_flight, confirmed, confirmed_per_second, last_error)
     values ($1, $1, false, 0, 0, 0, $1)`,
    `insert into ingest.signing_keys (kid, public_jwk, published_until) values ($1, '{}', now() + interval '1 day')`,
    `insert into certificate_authorities (id, purpose, cert_pem, key_pem_encrypted, source, fingerprint_sha256,
       not_before, not_after) select $1, 'agent_ca', $1, $1, $1, '${fingerprint}', now(), now() + interval '1 day'`,
  ]) {
    await query(statement, [HOSTILE]);
  }
  await query("update agents set status = 'pending'");
  const agentId = hosts[0].agentId;
  const lists = [
    ["agent", "list"],
    ["agent", "show", agentId],
    ["token", "list"],
    ["org", "list"],
    ["work", "list"],
    ["queue", "status"],
    ["ca", "list"],
    ["keys", "list"],
    ["doctor"],
  ];
  const changes = [
    ["agent", "approve", agentId, "--dry-run"],
    ["agent", "approve", agentId, "--as", HOSTILE],
    ["agent", "approve", agentId],
    ["agent", "approve", agentId],
    ["agent", "revoke", agentId],
    ...["show", "approve", "reject", "revoke", "unrevoke", "delete"].map((verb) => ["agent", verb, HOSTILE]),
    ["token", "revoke", HOSTILE],
    ["token", "create", "--org", HOSTILE, "--label", "x"],
    ["org", "create", HOSTILE],
    ["work", "cancel", HOSTILE],
    ["work", "list", "--host", HOSTILE],
    ["ca", "retire", HOSTILE],
    ["keys", "retire", HOSTILE],
    ["agent", "list", "--status", HOSTILE],
    [HOSTILE],
  ];
  const env = { DATABASE_URL: database.url, LDAP_ENCRYPTION_KEY: "x" };
  for (const args of [...lists, ...lists.map((list) => [...list, "--json"]), ...changes]) {
    for (const terminal of [undefined, { columns: 60, hasColours: true }]) {
      const { output, errors } = await runCommand(env, args, terminal);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a status
      const shown = `${output}\n${errors}`.replace(/\x1b\[(0|31|32|33|90)m/g, "");
      t.notMatch(shown, UNSEEN, args.join(" "));
      t.ok(!/^L\\u00ad/m.test(shown), `no line of its own: ${args.join(" ")}`);
      if (args.at(-1) === "--json" && output !== "") JSON.parse(output);
    }
  }
  const [listed] = JSON.parse((await runCommand(env, ["agent", "list", "--json"])).output);
  t.equal(listed.hostname, HOSTILE, "escaped in JSON, and the same");
});
