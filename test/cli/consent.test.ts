import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { runCommand } from "../support/commands/cli.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { createTestDatabase } from "../support/database/database.js";
import { makeDirectory } from "../support/service.js";

const database = await createTestDatabase(t);
const env = { DATABASE_URL: database.url };
await insertAgentRows(database, 3);
const countAgents = async () => (await database.query("select count(*)::int as n from agents"))[0]?.n;
const ask = (answer: boolean, ...args: string[]) => runCommand(env, args, undefined, undefined, answer);

t.test("where nobody can be asked nothing is done, and the line names --yes", async (t) => {
  t.match(await runCommand(env, ["agent", "delete", "agent-1", "agent-2"]), {
    exitCode: 1,
    output: "",
    errors:
      /^changing database .*\nwould delete agent-1 \(web-1, active\)\n.*\nerror: .*these 2 agents.* no terminal to ask at: say --yes$/,
  });
  t.equal(await countAgents(), 3);
});

t.test("--dry-run says what would be done, also with --yes", async (t) => {
  t.match(await runCommand(env, ["agent", "delete", "agent-1", "--dry-run", "--yes"]), {
    exitCode: 0,
    output: "would delete agent-1 (web-1, active)",
    errors: "",
  });
  t.match(await runCommand(env, ["agent", "delete", "nobody", "--dry-run"]), { exitCode: 1, errors: /nobody/ });
  t.equal(await countAgents(), 3);
});

t.test("it is done when the answer is yes, or was given before", async (t) => {
  t.match(await ask(false, "agent", "delete", "agent-1"), { exitCode: 1, errors: /nothing was changed/ });
  t.equal(await countAgents(), 3);
  t.match(await ask(true, "agent", "delete", "agent-1"), { exitCode: 0, output: "deleted agent-1 (web-1)" });
  t.match(await runCommand(env, ["agent", "delete", "agent-2", "--yes"]), { exitCode: 0 });
  t.equal(await countAgents(), 1);
});

t.test("dev-tls overwrites no key unasked", async (t) => {
  const out = join(await makeDirectory(t), "tls");
  const make = (...more: string[]) => runCommand({}, ["dev-tls", "--out", out, ...more]);
  const key = () => readFile(join(out, "server.key"), "utf8");
  t.match(await make("--dry-run"), { exitCode: 0, output: /^would write / });
  t.match(await make(), { exitCode: 0 });
  const first = await key();
  t.match(await make(), { exitCode: 1, errors: /Overwrite \S+server\.crt and \S+server\.key\?.*--yes/ });
  t.match(await make("--dry-run"), { exitCode: 0, output: /^would overwrite / });
  t.equal(await key(), first);
  t.match(await make("--yes", "--json"), { exitCode: 0, output: /^{"certFile":/ });
  t.not(await key(), first);
  for (const san of ["not a name!", "", "a..b", "-a.example", "1.2.3.4.5", "ä.example", "x".repeat(64)]) {
    t.match(await make("--yes", "--san", san), { exitCode: 2, errors: /expected a DNS name or an IP address/ }, san);
  }
  t.match(await make("--yes", "--san", "*.example.org", "--san", "2001:db8::1", "ingest"), { exitCode: 0 });
});

t.test("under --json everything is JSON, also what goes wrong", async (t) => {
  const errorsOf = async (...args: string[]) => {
    const { exitCode, errors, output } = await runCommand(env, [...args, "--json"]);
    return { exitCode, output, errors: errors.split("\n").map((line) => JSON.parse(line)) };
  };
  t.match(await errorsOf("agent", "approve", "nobody", "agent-3"), {
    exitCode: 1,
    output: "[]",
    errors: [
      { notice: /^changing database/ },
      { error: "no agent has the id nobody" },
      { error: /agent-3 \(web-3\) is active and cannot be approved/ },
    ],
  });
  t.match(await errorsOf("agent", "show"), { exitCode: 2, errors: [{ error: "missing required argument 'id'" }] });
  t.match(await errorsOf("agent", "list", "--stauts", "x"), { exitCode: 2, errors: [{ error: /unknown option/ }] });
  t.match(await runCommand({}, ["agent", "list", "--json"]), { exitCode: 1, errors: /^{"error":"no database: .*"}$/ });
  const revoked = await runCommand(env, ["agent", "revoke", "agent-3", "--json"]);
  t.same(JSON.parse(revoked.output), [{ id: "agent-3", name: "web-3", result: "revoked" }]);
});

t.test("what cannot be meant is refused in words", async (t) => {
  const create = (...args: string[]) => runCommand(env, ["token", "create", "--label", "x", ...args]);
  t.match(await create("--expires-in", "9999999d"), { exitCode: 2, errors: /a hundred years \(36525d\) at most/ });
  t.match(await create("--expires-in", "36525d"), { exitCode: 0 });
  t.match(await create("--label", " "), { exitCode: 2, errors: /1 to 255 characters/ });
  const file = join(await makeDirectory(t), "ca");
  await mkdir(`${file}.d`);
  const simulate = (ca: string) =>
    runCommand(env, ["simulate", "--agents", "1", "--address", "localhost:1", "--token", "x", "--ca", ca]);
  for (const text of ["", "not a CA", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]) {
    await writeFile(file, text);
    t.match(await simulate(file), { exitCode: 1, errors: /^error: \S+\/ca is no CA file: / }, text);
  }
  t.match(await simulate(`${file}.d`), { exitCode: 1, errors: /^error: \S+ is no CA file: (ENOENT|EISDIR)/ });
});

t.test("the first token of a standalone database: the organisation comes first", async (t) => {
  const fresh = await createTestDatabase(t);
  const cli = (...args: string[]) => runCommand({ DATABASE_URL: fresh.url }, args);
  t.match(await cli("token", "create", "--label", "x"), {
    exitCode: 1,
    errors: /has no organisation: make one with `ct-ops-ingest org create NAME`/,
  });
  t.match(await cli("org", "create", "Mine"), { exitCode: 0 });
  t.match(await cli("token", "create", "--label", "x"), { exitCode: 0, output: /^ctops_/ });
});
