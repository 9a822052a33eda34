import type { PublishingDatabase } from "../../outbox/outbox.js";
import type { Database } from "../../store/database.js";
import { changePublishingDatabase } from "../command-database.js";
import type { CommandContext } from "../context.js";
import { printable } from "../terminal/printable.js";
import { CommandFailure, describeError } from "./describe-error.js";

/** What is done to each of some things. */
export interface Deed {
  /** The word for what was done, for example `approved`. */
  done: string;
  /** Whether what was done is printed as JSON. */
  json?: true | undefined;
  /** Returns what people call the thing. */
  work: (publishing: PublishingDatabase, id: string) => Promise<string>;
}

/**
 * Does what can be done, and then fails with a line for each that could not.
 *
 * @param ids or what finds them, when it has been said which database is changed
 */
export async function forEachId(
  context: CommandContext,
  ids: readonly string[] | ((database: Database) => Promise<readonly string[]>),
  { done, json, work }: Deed,
): Promise<void> {
  const problems: string[] = [];
  const results: { id: string; name: string; result: string }[] = [];
  await changePublishingDatabase(context, async (publishing) => {
    for (const id of typeof ids === "function" ? await ids(publishing.database) : ids) {
      try {
        const name = await work(publishing, id);
        results.push({ id, name, result: done });
        if (!json) context.print(`${done} ${id} (${printable(name)})`);
      } catch (error) {
        problems.push(describeError(error));
      }
    }
  });
  if (json) context.print(JSON.stringify(results));
  if (problems.length > 0) throw new CommandFailure(problems);
}
