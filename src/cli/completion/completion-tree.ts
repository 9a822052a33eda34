import type { Command } from "commander";

/** A word that can be completed, with what it is for. */
export interface Candidate {
  word: string;
  description: string;
}

/** What can follow a command. */
export interface CompletionNode {
  /** The names that lead to the command, without the program's own. */
  path: readonly string[];
  commands: readonly Candidate[];
  /** Values of its first argument; empty when they are not known beforehand. */
  argumentValues: readonly string[];
  options: readonly (Candidate & { value: OptionValue })[];
}

/** What an option takes: nothing, one of these words, a path, or something only the user knows. */
export type OptionValue =
  | { kind: "none" | "file" | "directory" | "free" }
  | { kind: "choice"; words: readonly string[] };

/** Reads the commands and options of a program, and of every command below it. */
export function completionTree(command: Command, path: readonly string[] = []): CompletionNode[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command);
  const node: CompletionNode = {
    path,
    commands: children.map((child) => ({ word: child.name(), description: help.subcommandDescription(child) })),
    argumentValues: command.registeredArguments[0]?.argChoices ?? [],
    options: help.visibleOptions(command).flatMap((option) => {
      const { long, flags, argChoices } = option;
      const description = help.optionDescription(option);
      return long == null ? [] : [{ word: long, description, value: optionValue(flags, argChoices) }];
    }),
  };
  // Not the ones commander makes up (`help`), which are not among its own.
  return [node, ...command.commands.flatMap((child) => completionTree(child, [...path, child.name()]))];
}

function optionValue(flags: string, choices: readonly string[] | undefined): OptionValue {
  if (choices !== undefined) return { kind: "choice", words: choices };
  if (/<file>/.test(flags)) return { kind: "file" };
  if (/<dir>/.test(flags)) return { kind: "directory" };
  return { kind: /[<[]/.test(flags) ? "free" : "none" };
}
