import t, { type Test } from "tap";
import { startProcess } from "../support/commands/process.js";
import { runOnTerminal, type TerminalResult } from "../support/commands/pseudo-terminal.js";
import { insertAgentRows } from "../support/database/agent-rows.js";
import { createTestDatabase } from "../support/database/database.js";
import { skipWithout } from "../support/programs.js";

const ESCAPE = "\x1b";
const NO_PYTHON = "there is no python3 to make one with";

const database = await createTestDatabase(t);
const env = { DATABASE_URL: database.url };
await insertAgentRows(database, 2);
await database.query(`
  update agents set hostname = 'edge-gateway-with-a-long-name.customers.example.org-' || right(id, 1),
    last_heartbeat_at = now() - interval '200 s', version = 'v0.31.0', os = 'linux', arch = 'arm64'`);

/** Each run is a process, and takes half a second: as few as will do. */
async function onTerminal(
  t: Test,
  args: string[],
  { columns = 80, more = {}, answer = "" }: { columns?: number; more?: Record<string, string>; answer?: string } = {},
): Promise<TerminalResult | undefined> {
  const dialogue = answer === "" ? [] : [{ sees: /\[y\/N\] /, types: answer }];
  return runOnTerminal(t, { ...env, ...more }, args, { columns, dialogue });
}

t.test("a terminal of 80 columns", async (t) => {
  const shown = await onTerminal(t, ["agent", "list"]);
  if (shown === undefined) return void t.pass("no terminal", { skip: skipWithout(NO_PYTHON) });
  const { output, exitCode } = shown;
  t.equal(exitCode, 0);
  t.match(output, `${ESCAPE}[32mactive${ESCAPE}[0m`);
  t.match(output, / {2}3 min ago\n/);
  t.match(output, /…\S*org-1 /);
  t.match(output, /…\S*org-2 /);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours have no width
  for (const line of output.replace(/\x1b\[\d+m/g, "").split("\n")) t.ok([...line].length <= 80, line);
});

t.test("a narrow terminal, and NO_COLOR", async (t) => {
  const shown = await onTerminal(t, ["agent", "list"], { columns: 40, more: { NO_COLOR: "1" } });
  if (shown === undefined) return void t.pass("no terminal", { skip: skipWithout(NO_PYTHON) });
  for (const line of shown.output.split("\n")) t.ok([...line].length <= 40, line);
  t.notMatch(shown.output, ESCAPE);
  t.match(shown.output, /^ID +agent-1\nHOSTNAME +edge-[^\n]*\n +/);
});

t.test("a pipe", async (t) => {
  const listing = startProcess(t, ["agent", "list"], { env });
  t.match(await listing.exited, { code: 0 });
  t.notMatch(listing.output(), ESCAPE);
  t.match(listing.output(), /agent-1 {2}edge-gateway-with-a-long-name\.customers\.example\.org-1 +active .*T.*Z/);
});

t.test("what destroys asks at a terminal", async (t) => {
  const agents = async () => (await database.query("select id from agents order by id")).map(({ id }) => id);
  const kept = await onTerminal(t, ["agent", "delete", "agent-1"], { answer: "n\n" });
  if (kept === undefined) return void t.pass("no terminal", { skip: skipWithout(NO_PYTHON) });
  t.equal(kept.exitCode, 1);
  t.match(kept.output, /would delete agent-1 \(edge-.*, active\)\nDelete this agent for good\? \[y\/N\] /);
  t.match(kept.output, "error: nothing was changed");
  t.match(await onTerminal(t, ["agent", "delete", "agent-1"], { answer: "\x03" }), { exitCode: 130 }, "Ctrl-C");
  t.same(await agents(), ["agent-1", "agent-2"]);
  t.match(await onTerminal(t, ["agent", "delete", "agent-1"], { answer: "y\n" }), { exitCode: 0 });
  t.same(await agents(), ["agent-2"]);
});
