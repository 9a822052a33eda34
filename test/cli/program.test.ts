import t from "tap";
import { runCommand } from "../support/commands/cli.js";

t.test("each command that the help lists is found by its name alone", async (t) => {
  const { output } = await runCommand({}, ["--help"]);
  const names = [...output.matchAll(/^ {2}([a-z-]+) .*/gm)].map(([, name = ""]) => name);
  t.ok(names.length > 10);
  for (const name of names.filter((name) => name !== "help")) {
    const { exitCode, output } = await runCommand({}, [name, "--help"]);
    t.same(exitCode, 0, name);
    t.ok(output.startsWith(`Usage: ct-ops-ingest ${name} `), output);
  }
});

t.test("what is no command is told, and what is like one is suggested", async (t) => {
  for (const name of ["agents", "constructor"]) {
    const { exitCode, errors } = await runCommand({}, [name]);
    t.equal(exitCode, 2);
    t.match(errors, `error: unknown command '${name}'`);
  }
  t.match((await runCommand({}, ["agents"])).errors, /Did you mean agent\?/);
  t.same((await runCommand({}, ["--version"])).output.split("\n").length, 1);
});

t.test("help fits in 80 columns, and names a default once", async (t) => {
  const pages = async (path: readonly string[]): Promise<void> => {
    const { output } = await runCommand({}, [...path, "--help"]);
    t.same(
      output.split("\n").filter((line) => line.length > 80),
      [],
      path.join(" "),
    );
    t.notMatch(output.replace(/\s+/g, " "), /\(default: [^)]*\) \(default/, path.join(" "));
    const [, commands = ""] = /^Commands:\n(.*)/ms.exec(output) ?? [];
    for (const [, name = ""] of commands.matchAll(/^ {2}([a-z-]+)/gm))
      if (name !== "help") await pages([...path, name]);
  };
  await pages([]);
});
