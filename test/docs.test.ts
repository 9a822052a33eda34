import { access, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { parseConfig } from "../dist/config/config.js";
import { variableHelp } from "../dist/config/variable-help.js";
import { migrateIngest } from "../dist/store/migrations/migrate.js";
import { runCommand } from "./support/commands/cli.js";
import { createPlatformDatabase, dumpCatalogue } from "./support/database/platform-database.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const documents = new Map<string, string>();
const atTheTop = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
for (const path of [...atTheTop, ...(await readdir(join(ROOT, "docs"))).map((name) => `docs/${name}`)]) {
  documents.set(path, await readFile(join(ROOT, path), "utf8"));
}

/** The blocks of code in a document that are in this language. */
function codeBlocks(path: string, language: string): string[] {
  const pattern = new RegExp(`^ *\`\`\`${language}\\n(.*?)^ *\`\`\``, "gms");
  return [...(documents.get(path) ?? "").matchAll(pattern)].map(([, code]) => code as string);
}

/** The cells of the rows of the table that begins with these headings. */
function tableRows(path: string, firstHeading: string): string[][] {
  const [, table = ""] =
    new RegExp(`^\\| ${firstHeading} \\|.*\\n\\|[ -|]*\\n((?:\\|.*\\n)+)`, "m").exec(documents.get(path) ?? "") ?? [];
  return table
    .trim()
    .split("\n")
    .map((row) =>
      row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function codeWords(cell = ""): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string);
}

t.test("every command that is named exists", async (t) => {
  const named = new Set<string>();
  for (const text of documents.values()) {
    for (const [, words] of text.matchAll(
      /(?:`ct-ops-ingest|ingest ct-ops-ingest|npm run cli --) ([a-z-]+(?: [a-z]+)?)/g,
    )) {
      const [command, sub] = (words as string).split(" ");
      if (["agent", "token", "org", "ca", "keys"].includes(command as string)) named.add(`${command} ${sub}`);
      else named.add(command as string);
    }
  }
  t.ok(named.has("serve") && named.has("agent list"), [...named].join(", "));
  await Promise.all(
    [...named].map(async (command) => {
      const { output, exitCode } = await runCommand({}, [...command.split(" "), "--help"]);
      t.ok(output.includes(`Usage: ct-ops-ingest ${command}`), command);
      t.equal(exitCode, 0);
    }),
  );
});

t.test("every script that is named exists, and this version has its changes", async (t) => {
  const { scripts, version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const named = [...documents.values()].flatMap((text) => [
    ...text.matchAll(/\bnpm (?:run )?(start|test|(?<=run )[a-z:]+)/g),
  ]);
  for (const [, name = ""] of named) t.ok(name in scripts, name);
  t.match(documents.get("CHANGELOG.md"), `\n## [${version}] - `);
});

t.test("every link into the repository leads somewhere", async (t) => {
  for (const [path, text] of documents) {
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      await t.resolves(access(join(ROOT, dirname(path), target as string)), `${path}: ${target}`);
    }
  }
});

t.test("every log line that is explained is one that is written, and the other way round", async (t) => {
  const files = (await readdir(join(ROOT, "dist"), { recursive: true })).filter((name) => name.endsWith(".js"));
  const sources = (await Promise.all(files.map((name) => readFile(join(ROOT, "dist", name), "utf8")))).join("\n");
  const messages = tableRows("docs/operations.md", "`msg`").flatMap(([cell]) => codeWords(cell));
  t.ok(messages.length > 10);
  for (const message of messages) t.ok(sources.includes(`"${message}"`), message);
  // The last arguments of a call: one text, or two of which one is chosen.
  const written = [...sources.matchAll(/\blogger\.(?:info|warn|error)\(([^;]*)\);/g)].flatMap(([, call]) =>
    [...(call as string).matchAll(/[,?:] "([^"]+)"(?=$| :)/g)].map(([, message]) => message as string),
  );
  t.ok(written.length > 30, `${written.length}`);
  for (const message of written) t.ok(messages.includes(message), `explained: ${message}`);
});

t.test("the variables of the earlier service mean what is said of them", async (t) => {
  const rows = tableRows("docs/upgrade.md", "YAML key");
  t.ok(rows.length > 10);
  for (const [, before, here] of rows) {
    for (const variable of codeWords(before)) {
      const { warnings } = parseConfig({ [variable]: "1" });
      t.equal(warnings.length > 0, here?.includes("a warning says so"), `${variable}: ${here}`);
    }
  }
  const { problems } = parseConfig({}) as { problems: string[] };
  const readme = tableRows("README.md", "variable").flatMap(([cell]) => codeWords(cell));
  for (const problem of problems) t.ok(readme.includes(problem.split(" ")[0] as string), problem);
});

t.test("the way back leaves a platform's database as it was", async (t) => {
  const database = await createPlatformDatabase(t);
  const before = await dumpCatalogue(database);
  await migrateIngest(database.url);
  t.not((await dumpCatalogue(database)).length, before.length);
  for (const block of codeBlocks("docs/upgrade.md", "sql")) await database.query(block);
  t.same(await dumpCatalogue(database), before);
  t.match(await database.query("select to_regnamespace('ingest') as schema"), [{ schema: null }]);
});

t.test("serve --help and README tell the same of each variable", async (t) => {
  const rows = tableRows("README.md", "variable").flatMap(([names, required, defaults]) => {
    // What stands in brackets is another name of the one before it.
    const named = codeWords(names?.replace(/\(or .*\)/, ""));
    const values = codeWords(defaults);
    return named.map((name, index) => ({ name, isRequired: required === "yes", value: values[index] ?? values[0] }));
  });
  const help = variableHelp();
  t.same(rows.map(({ name }) => name).sort(), help.map(({ name }) => name).sort());
  const { output } = await runCommand({}, ["serve", "--help"]);
  for (const line of output.split("\n")) t.ok(line.length <= 80, line);
  for (const { name, isRequired, value } of rows) {
    const said = help.find((candidate) => candidate.name === name);
    t.match(said, { isRequired }, name);
    t.match(output, `\n  ${name}${isRequired ? " (required)" : said?.default ? ` (default: ${said.default})` : ""}\n`);
    if (value !== undefined) t.ok(said?.default?.startsWith(value), `${name}: ${value}, ${said?.default}`);
  }
});
