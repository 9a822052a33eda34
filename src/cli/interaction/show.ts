import type { Command } from "commander";
import type { Database } from "../../store/database.js";
import { readDatabaseClock } from "../../store/inspection.js";
import { type CommandTarget, readDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import type { Layout } from "../terminal/layout.js";

/** The options of commands that show something. */
export interface ShowOptions {
  json?: true;
  wide?: true;
}

/** Gives a command the options of {@link ShowOptions}. */
export function withShowOptions(command: Command): Command {
  return command
    .option("--json", "print JSON only")
    .option("--wide", "show everything in full, and times exactly, however wide the terminal is");
}

/** How something is shown: read, and then made either text or JSON. */
export interface Shown<T> {
  read: (database: Database, target: CommandTarget) => Promise<T>;
  toText: (found: T, layout: Layout) => string;
  /** What of it goes into JSON; all of it unless told otherwise. */
  toJson?: (found: T) => unknown;
}

/** Shows something of the command's database. */
export async function show<T>(
  context: CommandContext,
  { json, wide }: ShowOptions,
  { read, toText, toJson = (found) => found }: Shown<T>,
): Promise<void> {
  const { found, now } = await readDatabase(context, async (database, target) => ({
    found: await read(database, target),
    now: await readDatabaseClock(database.db),
  }));
  context.print(
    json ? JSON.stringify(toJson(found)) : toText(found, { terminal: context.terminal, isWide: wide, now }),
  );
}
