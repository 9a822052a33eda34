import t from "tap";
import { runCommand } from "../support/commands/cli.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { createTestDatabase } from "../support/database/database.js";

const database = await createTestDatabase(t);
const { query } = database;
const env = { DATABASE_URL: database.url };
await insertAgentRows(database, 6);
await query(`
  insert into organisations (id, name, slug) values ('other', 'Other', 'other-org');
  insert into agent_enrolment_tokens (id, organisation_id, label, token, token_hash, created_by_id)
    select 'token-1', 'organisation', 'web servers', 'x', 'x', id from "user" limit 1;
  update agents set organisation_id = 'other', hostname = 'DB_1.example' where id = 'agent-1';
  update agents set status = 'pending', enrolment_token_id = 'token-1' where id in ('agent-2', 'agent-3');
  update agents set status = 'pending', hostname = 'dbx1.example' where id = 'agent-4';
  update agents set last_heartbeat_at = now() - interval '1 hour' where id = 'agent-5';
  update agents set last_heartbeat_at = now() where id = 'agent-6'`);

const listed = async (...args: string[]) => {
  const { output, exitCode, errors } = await runCommand(env, ["agent", "list", "--json", ...args]);
  t.equal(exitCode, 0, errors);
  return (JSON.parse(output) as { id: string }[]).map(({ id }) => id.replace("agent-", "")).sort();
};

t.test("filters, each and together", async (t) => {
  t.same(await listed(), ["1", "2", "3", "4", "5", "6"]);
  t.same(await listed("--hostname", "web-*"), ["2", "3", "5", "6"]);
  t.same(await listed("--hostname", "WEB-?"), ["2", "3", "5", "6"], "whatever its case");
  t.same(await listed("--hostname", "db_1*"), ["1"], "what SQL takes for a wildcard is none");
  t.same(await listed("--hostname", "web"), [], "the whole name");
  t.same(await listed("--org", "other-org"), ["1"]);
  t.same(await listed("--org", "other"), ["1"], "by id");
  t.same(await listed("--token", "web servers"), ["2", "3"]);
  t.same(await listed("--token", "token-1"), ["2", "3"]);
  t.same(await listed("--token", "\ufeff token-1\r\n"), ["2", "3"], "as it is pasted");
  t.same(await listed("--org", "\ufeffother-org \r\n", "--hostname", " db_1* \n"), ["1"], "so are all names and ids");
  t.same(await listed("--heard-within", "10m"), ["6"]);
  t.same(await listed("--silent-for", "10m"), ["1", "2", "3", "4", "5"]);
  t.same(await listed("--status", "pending", "--hostname", "*3"), ["3"]);
  t.match(await runCommand(env, ["agent", "list", "--silent-for", "x"]), { exitCode: 2, errors: /a duration such as/ });
});

t.test("what a filter names and is not there is said, whatever else it asks for", async (t) => {
  const fails = (...args: string[]) => runCommand(env, ["agent", ...args]);
  const noOrganisation = /no organisation has the slug or id ohter-org: `org list` shows them/;
  t.match(await fails("list", "--org", "ohter-org"), { exitCode: 1, output: "", errors: noOrganisation });
  t.match(await fails("list", "--org", "ohter-org", "--json"), { exitCode: 1, output: "", errors: noOrganisation });
  const noToken = /no enrolment token has the id or label web server: `token list` shows them/;
  t.match(await fails("list", "--token", "web server", "--org", "other-org"), { exitCode: 1, errors: noToken });
  t.match(await fails("approve", "--token", "web server", "--dry-run"), { exitCode: 1, errors: noToken });
  t.same(await listed("--org", "other-org", "--status", "offline"), [], "an organisation may have no such agent");
  await query("update agent_enrolment_tokens set deleted_at = now() where id = 'token-1'");
  t.same(await listed("--token", "token-1", "--status", "offline"), [], "its agents stay when a token is deleted");
});

t.test("approve chooses among those that wait, shows them, and asks", async (t) => {
  const approve = (answer: boolean | undefined, ...args: string[]) =>
    runCommand(env, ["agent", "approve", ...args], undefined, undefined, answer);
  const pending = () => listed("--status", "pending");
  t.match(await approve(undefined), { exitCode: 2, errors: /say which/ });
  t.match(await approve(undefined, "agent-2", "--all-pending"), { exitCode: 2, errors: /say which/ });
  t.match(await approve(undefined, "--all-pending", "--as", "x"), { exitCode: 1, errors: /--as is for one agent/ });
  const preview = await approve(undefined, "--all-pending", "--dry-run");
  t.equal(preview.exitCode, 0);
  t.match(preview.output, /^ID .*\nagent-4 .*\nagent-2 .*\nagent-3 /);
  t.match(
    await approve(undefined, "--dry-run", "\ufeffagent-2\r\n"),
    { exitCode: 0, output: /agent-2/ },
    "as it is pasted",
  );
  t.match(await approve(undefined, "--token", "web servers"), { exitCode: 1, errors: /agent-2.*say --yes/s });
  t.match(await approve(false, "--all-pending"), { exitCode: 1, errors: /Approve these 3 agents\?\n.*nothing/ });
  t.same(await pending(), ["2", "3", "4"]);
  t.match(await approve(true, "--token", "web servers", "--hostname", "*-2"), {
    exitCode: 0,
    output: "approved agent-2 (web-2)",
  });
  t.same(await pending(), ["3", "4"]);
  t.match(await approve(undefined, "--all-pending", "--yes"), { exitCode: 0 });
  t.match(await approve(undefined, "--all-pending", "--yes"), { exitCode: 1, errors: /no pending agent/ });
});

t.test("the history says whose act it was", async (t) => {
  await runCommand(env, ["agent", "revoke", "agent-3", "--reason", "stolen (from the van)"]);
  const [last] = await query(
    "select reason from agent_status_history where agent_id = 'agent-3' order by created_at desc",
  );
  t.same(last, { reason: "stolen (from the van) (ct-ops-ingest agent revoke by tester)" });
  const { output } = await runCommand(env, ["agent", "show", "agent-3"]);
  t.match(output, /revoked +stolen \(from the van\) +tester \(ct-ops-ingest agent revoke\)\n/);
  t.match(output, /active +approved by an operator +tester \(ct-ops-ingest agent approve\)\n/);
});

t.test("twenty thousand agents", async (t) => {
  await query(`
    insert into agents (id, organisation_id, hostname, public_key, status, last_heartbeat_at)
    select 'many-' || i, 'organisation', 'host-' || i || '.example.org', 'many ' || i, 'active', now() - i * interval '1 s'
    from generate_series(1, 20000) i`);
  const before = performance.now();
  const { output } = await runCommand(env, ["agent", "list"], { columns: 80, hasColours: true });
  t.comment(`all of them in ${Math.round(performance.now() - before)} ms`);
  t.equal(output.split("\n").filter((line) => /^many-/.test(line)).length, 20_000);
  t.same((await listed("--hostname", "host-1999?.example.org", "--status", "active")).length, 10);
});
