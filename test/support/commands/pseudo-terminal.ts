import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";

const MAIN = fileURLToPath(new URL("../../../dist/main.js", import.meta.url));

/** Runs a program on a terminal of so many columns, and passes on what it writes there, and what it is typed. */
const TERMINAL = `
import fcntl, os, pty, select, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
sources = [terminal, 0]
while True:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b""
        if source == terminal and not data:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if not data:
            sources.remove(source)
        os.write(1 if source == terminal else terminal, data)
`;

/** What a command showed on a terminal, both outputs as they came, and how it ended. */
export interface TerminalResult {
  exitCode: number | null;
  output: string;
}

/**
 * Runs the product on a pseudo-terminal.
 *
 * @param dialogue what is typed as soon as the output so far matches
 * @returns undefined where there is no python3 to make a terminal with
 */
export async function runOnTerminal(
  t: Test,
  env: Record<string, string | undefined>,
  args: readonly string[],
  { columns, dialogue = [] }: { columns: number; dialogue?: { sees: RegExp; types: string }[] },
): Promise<TerminalResult | undefined> {
  const child = spawn("python3", ["-c", TERMINAL, String(columns), process.execPath, MAIN, ...args], {
    env: { PATH: process.env.PATH, TERM: "xterm", ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  let output = "";
  const left = [...dialogue];
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk;
    while (left[0]?.sees.test(output)) child.stdin.write(left.shift()?.types);
  });
  return new Promise((resolve) => {
    child.once("error", () => resolve(undefined));
    child.once("close", (exitCode) => resolve({ exitCode, output: output.replaceAll("\r\n", "\n") }));
  });
}
