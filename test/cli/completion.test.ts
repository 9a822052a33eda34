import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { runCommand } from "../support/commands/cli.js";
import { needProgram } from "../support/programs.js";
import { makeDirectory } from "../support/service.js";

const run = promisify(execFile);

/** What a shell is to offer: the words before the cursor, the last one unfinished, and the candidates. */
const CASES: [words: string[], candidates: string[]][] = [
  [["to"], ["token"]],
  [
    ["agent", "re"],
    ["reject", "revoke"],
  ],
  [
    ["agent", "list", "--"],
    ["--heard-within", "--help", "--hostname", "--json", "--org", "--silent-for", "--status", "--token", "--wide"],
  ],
  [
    ["agent", "list", "--status", ""],
    ["active", "offline", "pending", "revoked"],
  ],
  // A value that is the name of a command is not that command.
  [["token", "create", "--label", "agent", "--exp"], ["--expires-in"]],
  [["token", "create", "--label", ""], []],
  [
    ["completion", ""],
    ["bash", "fish", "zsh"],
  ],
];

async function writeScript(t: Test, shell: string): Promise<string> {
  const file = join(await makeDirectory(t), `completion.${shell}`);
  const { output } = await runCommand({}, ["completion", shell]);
  await writeFile(file, `${output}\n`);
  return file;
}

/** How each shell is asked, by a script of its own: `$1` is the completion script, the rest the words. */
const ASK: Record<string, string> = {
  bash: `source "$1"; shift; COMP_WORDS=(ct-ops-ingest "$@"); COMP_CWORD=$#
    complete -p ct-ops-ingest >&2; _ct_ops_ingest; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // Its completion system needs a terminal: the three functions that the script calls are stood in for.
  zsh: `compdef() {}; _files() {}
    compadd() { shift; print -l -- "$@" }; _describe() { print -l -- "\${candidates[@]%%:*}" }
    source "$1"; shift; words=(ct-ops-ingest "$@"); CURRENT=$(( $# + 1 )); _ct_ops_ingest`,
  fish: `source $argv[1]; complete -C (string join ' ' -- ct-ops-ingest $argv[2..-1])`,
};

for (const [shell, ask] of Object.entries(ASK)) {
  const { skip } = await needProgram(shell);
  t.test(`${shell} completes commands, options and values`, { skip }, async (t) => {
    const script = await writeScript(t, shell);
    for (const [words, expected] of CASES) {
      const positional = shell === "fish" ? [script, ...words] : [shell, script, ...words];
      const { stdout } = await run(shell, ["-c", ask, ...positional]);
      const unfinished = words.at(-1) ?? "";
      const offered = stdout
        .split("\n")
        .map((line) => line.split("\t", 1)[0] ?? "")
        // zsh leaves it to its own system to choose by what is typed already. Dashes are offered once they are typed.
        .filter((word) => word !== "" && word.startsWith(unfinished) && (unfinished !== "" || !word.startsWith("-")));
      t.same([...offered].sort(), expected, words.join(" "));
    }
  });
}

t.test("an unknown shell is a usage error", async (t) => {
  t.match(await runCommand({}, ["completion", "csh"]), {
    exitCode: 2,
    errors: /'csh' is invalid.* Allowed choices are bash, zsh, fish\.\n\(--help tells more\)/,
  });
});
