import type { CompletionNode, OptionValue } from "./completion-tree.js";

type Script = (program: string, tree: readonly CompletionNode[]) => string;

// Each script finds the command that the words so far name, then offers what can follow it.

/** For bash 3.2 or later, with or without bash-completion. */
export const bashCompletion: Script = (program, tree) => `# bash completion for ${program}
_${identifier(program)}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" at="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${paths(tree).map(quoted).join(" | ")}) at="\${at:+$at }\${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "$at $prev" in
${optionCases(tree, ({ kind, words }) =>
  kind === "choice"
    ? reply(words)
    : kind === "free"
      ? ":"
      : `COMPREPLY=($(compgen -${kind === "file" ? "f" : "d"} -- "$cur"))`,
)
  .map(({ at, action }) => `    ${at}) ${action}; return ;;`)
  .join("\n")}
  esac
  case "$at" in
${tree.map((node) => `    ${quoted(node.path.join(" "))}) ${reply(wordsAfter(node))} ;;`).join("\n")}
  esac
}
complete -F _${identifier(program)} ${program}`;

/** To be sourced, or put into a directory of `fpath` as `_ct-ops-ingest`. */
export const zshCompletion: Script = (program, tree) => `#compdef ${program}
_${identifier(program)}() {
  local at="" word
  local -a candidates
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      (${paths(tree).map(quoted).join(" | ")}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${optionCases(tree, ({ kind, words }) =>
  kind === "choice"
    ? `compadd -- ${words.map(quoted).join(" ")}`
    : kind === "free"
      ? ":"
      : `_files${kind === "file" ? "" : " -/"}`,
)
  .map(({ at, action }) => `    (${at}) ${action}; return ;;`)
  .join("\n")}
  esac
  case "$at" in
${tree.map((node) => `    (${quoted(node.path.join(" "))}) candidates=(${described(node)}) ;;`).join("\n")}
  esac
  _describe '${program}' candidates
}
if [ "\${funcstack[1]}" = "_${program}" ]; then
  _${identifier(program)} "$@"
else
  compdef _${identifier(program)} ${program}
fi`;

/** For fish 3 or later. */
export const fishCompletion: Script = (program, tree) => `# fish completion for ${program}
function __${identifier(program)}_at --description 'Whether the words so far name this command'
  set -l at
  for word in (commandline -opc)[2..-1]
    switch "$at $word"
      case ${paths(tree).map(quoted).join(" ")}
        set at (string trim -- "$at $word")
    end
  end
  test "$at" = "$argv[1]"
end
complete -c ${program} -f
${tree
  .flatMap((node) => {
    const line = `complete -c ${program} -n ${quoted(`__${identifier(program)}_at "${node.path.join(" ")}"`)}`;
    return [
      ...node.commands.map(({ word, description }) => `${line} -a ${quoted(word)} -d ${quoted(description)}`),
      ...node.argumentValues.map((word) => `${line} -a ${quoted(word)}`),
      ...node.options.map(
        ({ word, description, value }) =>
          `${line} -l ${word.replace(/^--/, "")} -d ${quoted(description)}${fishValue(value)}`,
      ),
    ];
  })
  .join("\n")}`;

function fishValue(value: OptionValue): string {
  if (value.kind === "choice") return ` -x -a ${quoted(value.words.join(" "))}`;
  if (value.kind === "none") return "";
  if (value.kind === "free") return " -x";
  return value.kind === "file" ? " -r -F" : " -x -a '(__fish_complete_directories)'";
}

/** Each command as the pattern `<words before> <its name>` that leads to it. */
function paths(tree: readonly CompletionNode[]): string[] {
  return tree
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => (path.length === 1 ? ` ${path[0]}` : path.join(" ")));
}

/** A line for each option that takes a value, for what to do when it is the word before. */
function optionCases(
  tree: readonly CompletionNode[],
  actionFor: (value: { kind: Exclude<OptionValue["kind"], "none">; words: readonly string[] }) => string,
): { at: string; action: string }[] {
  return tree.flatMap(({ path, options }) =>
    options.flatMap(({ word, value }) => {
      if (value.kind === "none") return [];
      const words = value.kind === "choice" ? value.words : [];
      return [{ at: quoted(`${path.join(" ")} ${word}`), action: actionFor({ kind: value.kind, words }) }];
    }),
  );
}

function wordsAfter({ commands, argumentValues, options }: CompletionNode): string[] {
  return [...commands.map(({ word }) => word), ...argumentValues, ...options.map(({ word }) => word)];
}

function described({ commands, argumentValues, options }: CompletionNode): string {
  return [...commands, ...argumentValues.map((word) => ({ word, description: "" })), ...options]
    .map(({ word, description }) => quoted(description === "" ? word : `${word}:${description}`))
    .join(" ");
}

function reply(words: readonly string[]): string {
  return `COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$cur"))`;
}

/** A word that no shell reads anything into. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function identifier(program: string): string {
  return program.replaceAll("-", "_");
}
