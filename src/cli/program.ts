import { constants } from "node:os";
import { Command, CommanderError } from "commander";
import { abortable } from "../lib/async/abortable.js";
import { trimPasted } from "../lib/formats/trim-pasted.js";
import { VERSION } from "../observe/version.js";
import { completionCommand } from "./completion/completion.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeError } from "./interaction/describe-error.js";
import { printable, printableOutput } from "./terminal/printable.js";

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
  const isJson = wantsJson(args);
  const printing = withPrintableOutput(caller);
  const context = isJson ? withJsonNotices(printing) : printing;
  const report = (problem: string) =>
    isJson ? printing.warn(JSON.stringify({ error: problem })) : printing.warn(`error: ${printable(problem)}`);
  const program = new Command("ct-ops-ingest")
    .description("The service that CT-Ops monitoring agents enrol with and keep a heartbeat stream open to.")
    .version(VERSION);
  for (const makeCommand of await loadCommands(args[0])) program.addCommand(makeCommand(context));
  program.addCommand(completionCommand(context, program));
  leaveProcessAlone(program, context, isJson);
  // All of them are ids and names, which are pasted, or come from files with other line ends.
  program.hook("preAction", (_, command) => {
    command.processedArgs = command.processedArgs.map(trimArgument);
  });
  if (args.some((arg) => /^--?config(=|$)/.test(arg))) {
    report(
      "the YAML file of the earlier service is not read: leave out -config, and set the environment variables that " +
        "docs/upgrade.md lists for its keys",
    );
    return USAGE;
  }
  const interruption = interruptionOf(args[0], context);
  try {
    // It may have been told to end while its command was loaded.
    interruption.throwIfAborted();
    await abortable(program.parseAsync([...args], { from: "user" }), interruption);
    return SUCCESS;
  } catch (error) {
    if (interruption.aborted)
      return SIGNALLED + (constants.signals[interruption.reason as NodeJS.Signals] ?? constants.signals.SIGHUP);
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return SUCCESS;
      if (isJson) report(error.message.replace(/^error: /, ""));
      return USAGE;
    }
    const problems = error instanceof CommandFailure ? error.problems : [describeError(error)];
    for (const problem of problems) report(problem);
    return FAILED;
  }
}

function trimArgument(argument: unknown): unknown {
  if (Array.isArray(argument)) return argument.map(trimArgument);
  return typeof argument === "string" ? trimPasted(argument) : argument;
}

/** The commands, in the order in which `--help` lists them; what each of them needs is loaded when it is run. */
const COMMANDS: Record<string, () => Promise<(context: CommandContext) => Command>> = {
  serve: async () => (await import("./service/serve.js")).serveCommand,
  dev: async () => (await import("./dev/dev.js")).devCommand,
  migrate: async () => (await import("./service/migrate.js")).migrateCommand,
  "dev-tls": async () => (await import("./dev/dev-tls.js")).devTlsCommand,
  token: async () => (await import("./tokens/token.js")).tokenCommand,
  agent: async () => (await import("./agents/agent.js")).agentCommand,
  instance: async () => (await import("./agents/instance.js")).instanceCommand,
  work: async () => (await import("./agents/work.js")).workCommand,
  org: async () => (await import("./tokens/org.js")).orgCommand,
  queue: async () => (await import("./queue/queue.js")).queueCommand,
  ca: async () => (await import("./keys/ca.js")).caCommand,
  keys: async () => (await import("./keys/keys.js")).keysCommand,
  doctor: async () => (await import("./doctor/doctor.js")).doctorCommand,
  simulate: async () => (await import("./simulate/simulate.js")).simulateCommand,
};

/** The named command alone; all of them for whatever else comes first, such as `--help`. */
async function loadCommands(name: string | undefined) {
  if (name === "--version") return [];
  const named = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return Promise.all((named ? [named] : Object.values(COMMANDS)).map((load) => load()));
}

/** Whether the command is to print JSON: then each line of standard error is JSON, too. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end === -1 ? args.length : end).includes("--json");
}

/** What a command tells beside its result, as JSON. */
function withJsonNotices(context: CommandContext): CommandContext {
  return { ...context, warn: (line) => context.warn(JSON.stringify({ notice: line })) };
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
function leaveProcessAlone(command: Command, context: CommandContext, isJson: boolean): void {
  const { print, warn } = context;
  command
    .exitOverride()
    .showHelpAfterError("(--help tells more)")
    .configureOutput({
      writeOut: (text) => print(text.trimEnd()),
      writeErr: (text) => isJson || warn(text.trimEnd()),
    });
  for (const child of command.commands) leaveProcessAlone(child, context, isJson);
}
