import type { Command } from "commander";
import type { CommandContext } from "../context.js";

/** The options of commands that ask before they do something that cannot be undone. */
export interface ConsentOptions {
  yes?: true;
  dryRun?: true;
}

/** Gives a command the options of {@link ConsentOptions}. */
export function withConsentOptions(command: Command): Command {
  return command.option("--yes", "do not ask").option("--dry-run", "say what would be done, and do nothing");
}

/**
 * Asks whether to go on, if nobody has said so. Where nobody can be asked nothing is done.
 *
 * @param question for example `Delete this agent for good?`
 * @throws Error when the answer is not yes, or there is no terminal to ask at
 */
export async function requireConsent(
  { confirm }: CommandContext,
  { yes }: ConsentOptions,
  question: string,
): Promise<void> {
  if (yes) return;
  if (confirm === undefined) throw new Error(`${question} There is no terminal to ask at: say --yes`);
  if (!(await confirm(question))) throw new Error("nothing was changed");
}
