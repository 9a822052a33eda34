import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type CliResult, runCommand } from "../support/commands/cli.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { createTestDatabase, TEMPLATES } from "../support/database/database.js";
import { makeDirectory, serviceEnvironment, writeServiceFiles } from "../support/service.js";

/** They work on no database, or until they are told to end. */
const LEFT_OUT = ["dev-tls", "simulate", "completion", "watch"];
/** They only read, or have nothing to change. */
const READING = /\b(list|show|status|migrate|doctor)\b/;
/** They look at what they are to change, and find that it is not so. */
const FINDING_NOTHING = new Map([
  ["ca retire", /agent-1/],
  ["keys retire", /agent-1/],
  ["queue drain", /no instance publishes to a broker/],
]);

const directory = await makeDirectory(t);
await writeServiceFiles(directory);
const database = await createTestDatabase(t, TEMPLATES.withAgentCa);
await insertAgentRows(database, 1);
await database.query("update agents set status = 'pending'");

/** What a command needs beside what its help says; an id is that of the one agent. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  "token create": ["--label", "x"],
  "agent approve": ["agent-1"],
  "agent delete": ["--yes"],
  dev: ["--data-dir", join(directory, "data")],
  doctor: ["--json"],
};

/** Every command that works on a database, with arguments: read from the help of each, so that none is forgotten. */
async function findCommands(path: readonly string[] = []): Promise<string[][]> {
  const { output } = await runCommand({}, [...path, "--help"]);
  const [usage, commands] = [/^Usage: .*$/m.exec(output)?.[0] ?? "", /^Commands:\n(.*)/ms.exec(output)?.[1]];
  if (commands === undefined) {
    const ids = [...usage.matchAll(/<\w+/g)].map(() => "agent-1");
    return [[...path, ...ids, ...(ARGUMENTS[path.join(" ")] ?? [])]];
  }
  const names = [...commands.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name = ""]) => name);
  const own = names.filter((name) => name !== "help" && !LEFT_OUT.includes(name));
  return (await Promise.all(own.map((name) => findCommands([...path, name])))).flat();
}

const COMMANDS = [...(await findCommands()), ["migrate", "--standalone"]];

/** What is wrong with a database, and what every command says of it. */
interface Refusal {
  name: string;
  url: string;
  line: RegExp;
}

const suffix = randomBytes(4).toString("hex");
const barred = `barred_${suffix}`;
const { host, username, password, pathname } = new URL(database.url);
const url = (credentials: string, path = pathname) => `postgres://${credentials}@${host}${path}`;
await database.query(`create role ${barred} login password 'hunter2' connection limit 0`);
t.teardown(() => database.query(`drop role ${barred}`));

const REFUSALS: readonly Refusal[] = [
  {
    name: "wrong password",
    url: url(`${username}:hunter2`),
    line: /password authentication failed for user "postgres"; correct the password in DATABASE_URL/,
  },
  {
    name: "no such role",
    url: url("nobody:hunter2"),
    line: /password authentication failed for user "nobody"; correct the password/,
  },
  {
    name: "no such database",
    url: url(`${username}:${password}`, "/nothing"),
    line: /database "nothing" does not exist; create the database, or correct its name/,
  },
  {
    name: "no TLS",
    url: `${url(`${username}:${password}`)}?sslmode=require`,
    line: /does not support SSL connections; switch TLS on there \(ssl = on\), or set sslmode=disable/,
  },
  {
    name: "too many clients",
    url: url(`${barred}:hunter2`),
    line: /too many connections for role "barred_\w+"; end other clients, raise max_connections there/,
  },
  {
    name: "nobody listens",
    url: "postgres://u:hunter2@127.0.0.1:1/x",
    line: /connect ECONNREFUSED 127\.0\.0\.1:1; start PostgreSQL, or correct host and port/,
  },
];

function run(databaseUrl: string, command: readonly string[]): Promise<CliResult> {
  return runCommand({ ...serviceEnvironment(directory, databaseUrl), INGEST_LOG_LEVEL: "silent" }, command);
}

/** Everything that a command could have changed. */
async function snapshot(): Promise<unknown> {
  const rows: unknown[] = [];
  for (const table of [
    "agents",
    "agent_enrolment_tokens",
    "organisations",
    "certificate_authorities",
    "ingest.signing_keys",
  ])
    rows.push(await database.query(`select * from ${table}`));
  return [await readFile(join(directory, "jwt_key.pem"), "utf8"), rows];
}

const before = await snapshot();

/** That a command said what is so, once, and what to do; of doctor it is one finding of several. */
function requireRefused(t: Test, said: CliResult, command: readonly string[], line: RegExp): void {
  const name = command.join(" ");
  const { exitCode, output, errors } = said;
  t.equal(exitCode, 1, `${name}: exit code`);
  t.notMatch(output + errors, /hunter2| {4}at |Failed query/, `${name}: no secret, no stack`);
  if (command[0] === "doctor") {
    const findings = JSON.parse(output) as { message: string; remedy?: string }[];
    t.equal(
      findings.filter(({ message, remedy }) => line.test(`${message}; ${remedy}`)).length,
      1,
      `${name}: ${output}`,
    );
    return;
  }
  const lines = errors.split("\n").filter((text) => !text.startsWith("changing database "));
  t.match(lines, [new RegExp(`^error: .*${line.source}`)], name);
  t.same([lines.length, output], [1, ""], name);
}

t.test("the commands that work on a database are found", async (t) => {
  const names = COMMANDS.map((command) => command.join(" "));
  for (const name of [
    "serve",
    "doctor --json",
    "agent delete agent-1 --yes",
    "queue status",
    "work list",
    "ca rotate",
    "org list",
  ]) {
    t.ok(names.includes(name), name);
  }
});

for (const { name, url, line } of REFUSALS) {
  t.test(`a database that refuses: ${name}`, async (t) => {
    for (const command of COMMANDS) requireRefused(t, await run(url, command), command, line);
  });
}

t.test("a database that a newer version has migrated is left alone", async (t) => {
  await database.query("insert into ingest.migrations (hash, created_at) values ('newer', 9999999999999)");
  const line = /a newer version of this service has migrated the database.* run that version, on all instances/;
  for (const command of COMMANDS) requireRefused(t, await run(database.url, command), command, line);
  await database.query("delete from ingest.migrations where hash = 'newer'");
});

t.test("a database that can only be read is read, and whoever would write says so", async (t) => {
  const readOnly = `${database.url}?options=${encodeURIComponent("-c default_transaction_read_only=on")}`;
  for (const command of COMMANDS) {
    const said = await run(readOnly, command);
    const name = command.join(" ");
    if (READING.test(name) && command[0] !== "doctor") {
      t.match(said, { exitCode: 0, errors: /^(changing .*)?$/ }, name);
      continue;
    }
    const found = FINDING_NOTHING.get(command.slice(0, 2).join(" "));
    const line = found ?? /can only be read|read-only transaction; name a server in DATABASE_URL/;
    requireRefused(t, said, command, line);
  }
});

t.test("nothing of that changed anything", async (t) => t.same(await snapshot(), before));
