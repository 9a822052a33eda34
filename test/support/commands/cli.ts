import { runCli } from "../../../dist/cli/program.js";

/** What a command left behind. */
export interface CliResult {
  exitCode: number;
  /** Standard output. */
  output: string;
  /** Standard error. */
  errors: string;
  /** The live lines, in their order. */
  progress: string[];
}

/**
 * Runs a command in the test's process, with this environment alone.
 *
 * @param until the command is told to end when this is true of its live line
 * @param answer what the user answers when asked; without it there is nobody to ask
 */
export async function runCommand(
  env: Record<string, string | undefined>,
  args: readonly string[],
  terminal?: { columns: number; hasColours: boolean },
  until?: (liveLine: string) => boolean,
  answer?: boolean,
): Promise<CliResult> {
  const [output, errors, progress]: [string[], string[], string[]] = [[], [], []];
  const told = new AbortController();
  const exitCode = await runCli(args, {
    env,
    signal: told.signal,
    secondSignal: new AbortController().signal,
    ...(terminal && { terminal }),
    user: "tester",
    ...(answer !== undefined && {
      confirm: async (question: string) => {
        errors.push(question);
        return answer;
      },
    }),
    print: (line) => output.push(line),
    warn: (line) => errors.push(line),
    progress: (line) => {
      progress.push(line);
      if (until?.(line)) told.abort("SIGINT");
    },
  });
  return { exitCode, output: output.join("\n"), errors: errors.join("\n"), progress };
}
