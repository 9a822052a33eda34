import { Argument, Command } from "commander";
import type { CommandContext } from "../context.js";
import { bashCompletion, fishCompletion, zshCompletion } from "./completion-scripts.js";
import { completionTree } from "./completion-tree.js";

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/**
 * `completion`: a script for a shell, made of the commands as they are.
 *
 * @param program the whole program, this command included
 */
export function completionCommand({ print }: CommandContext, program: Command): Command {
  return new Command("completion")
    .description("print what makes a shell complete this program's commands and options")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(SCRIPTS)))
    .addHelpText("after", HELP)
    .action((shell: keyof typeof SCRIPTS) => print(SCRIPTS[shell](program.name(), completionTree(program))));
}

const HELP = `
For this session:
  bash  source <(ct-ops-ingest completion bash)
  zsh   source <(ct-ops-ingest completion zsh)
  fish  ct-ops-ingest completion fish | source`;
