import { constants } from "node:os";
import { Command, CommanderError } from "commander";
import { abortable } from "../lib/async/abortable.js";
import { VERSION } from "../observe/version.js";
import { agentCommand } from "./agents/agent.js";
import { instanceCommand } from "./agents/instance.js";
import { completionCommand } from "./completion/completion.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeError } from "./describe-error.js";
import { devCommand } from "./dev/dev.js";
import { devTlsCommand } from "./dev/dev-tls.js";
import { doctorCommand } from "./doctor/doctor.js";
import { caCommand } from "./keys/ca.js";
import { keysCommand } from "./keys/keys.js";
import { queueCommand } from "./queue/queue.js";
import { migrateCommand } from "./service/migrate.js";
import { serveCommand } from "./service/serve.js";
import { simulateCommand } from "./simulate/simulate.js";
import { printable, printableOutput } from "./terminal/printable.js";
import { orgCommand } from "./tokens/org.js";
import { tokenCommand } from "./tokens/token.js";
import { workCommand } from "./work/work.js";

const SUCCESS = 0;
const FAILED = 1;
const USAGE = 2;
/** A command that a signal ended, as shells have it: this and the signal's number. */
const SIGNALLED = 128;

/**
 * Runs the command that these arguments name.
 *
 * @param args without the program's own name
 * @returns the exit code: 0 done, 1 failed, 2 not understood, 128 and the signal's number when a signal ended it
 */
export async function runCli(args: readonly string[], caller: CommandContext): Promise<number> {
  const context = withPrintableOutput(caller);
  const program = new Command("ct-ops-ingest")
    .description("The service that CT-Ops monitoring agents enrol with and keep a heartbeat stream open to.")
    .version(VERSION)
    .addCommand(serveCommand(context))
    .addCommand(devCommand(context))
    .addCommand(migrateCommand(context))
    .addCommand(devTlsCommand(context))
    .addCommand(tokenCommand(context))
    .addCommand(agentCommand(context))
    .addCommand(instanceCommand(context))
    .addCommand(workCommand(context))
    .addCommand(orgCommand(context))
    .addCommand(queueCommand(context))
    .addCommand(caCommand(context))
    .addCommand(keysCommand(context))
    .addCommand(doctorCommand(context))
    .addCommand(simulateCommand(context));
  program.addCommand(completionCommand(context, program));
  leaveProcessAlone(program, context);
  if (args.some((arg) => /^--?config(=|$)/.test(arg))) {
    context.warn(
      "error: the YAML file of the earlier service is not read: leave out -config, and set the environment variables " +
        "that docs/upgrade.md lists for its keys",
    );
    return USAGE;
  }
  const interruption = interruptionOf(args[0], context);
  try {
    await abortable(program.parseAsync([...args], { from: "user" }), interruption);
    return SUCCESS;
  } catch (error) {
    if (interruption.aborted)
      return SIGNALLED + (constants.signals[interruption.reason as NodeJS.Signals] ?? constants.signals.SIGHUP);
    if (error instanceof CommanderError) return error.exitCode === 0 ? SUCCESS : USAGE;
    const problems = error instanceof CommandFailure ? error.problems : [describeError(error)];
    for (const problem of problems) context.warn(`error: ${printable(problem)}`);
    return FAILED;
  }
}

/** Whatever a command prints goes through here: what others wrote into the database cannot steer a terminal. */
function withPrintableOutput(context: CommandContext): CommandContext {
  const { terminal, print, warn, progress } = context;
  const colours = { hasColours: terminal?.hasColours === true };
  const plain = { hasColours: false };
  return {
    ...context,
    print: (line) => print(printableOutput(line, colours)),
    warn: (line) => warn(printableOutput(line, plain)),
    ...(progress && { progress: (line: string) => progress(printableOutput(line, plain)) }),
  };
}

/** When a command is given up: at once, if it does not end by itself when it is told to. */
function interruptionOf(command: string | undefined, { signal, secondSignal }: CommandContext): AbortSignal {
  if (command === "serve" || command === "dev") return new AbortController().signal;
  return command === "simulate" ? secondSignal : signal;
}

/** Throws instead of ending the process, and writes help and what was not understood where everything else goes. */
function leaveProcessAlone(command: Command, context: CommandContext): void {
  const { print, warn } = context;
  command
    .exitOverride()
    .showHelpAfterError("(--help tells more)")
    .configureOutput({ writeOut: (text) => print(text.trimEnd()), writeErr: (text) => warn(text.trimEnd()) });
  for (const child of command.commands) leaveProcessAlone(child, context);
}
