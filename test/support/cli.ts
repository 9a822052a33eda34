import { runCli } from "../../dist/cli/program.js";

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

/** Runs a command in the test's process, with this environment alone. */
export async function runCommand(
  env: Record<string, string | undefined>,
  args: readonly string[],
  terminal?: { columns: number; hasColours: boolean },
): Promise<CliResult> {
  const [output, errors, progress]: [string[], string[], string[]] = [[], [], []];
  const exitCode = await runCli(args, {
    env,
    signal: new AbortController().signal,
    secondSignal: new AbortController().signal,
    ...(terminal && { terminal }),
    print: (line) => output.push(line),
    warn: (line) => errors.push(line),
    progress: (line) => progress.push(line),
  });
  return { exitCode, output: output.join("\n"), errors: errors.join("\n"), progress };
}
