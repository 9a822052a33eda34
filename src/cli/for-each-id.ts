import type { PublishingDatabase } from "../outbox/outbox.js";
import { changePublishingDatabase } from "./command-database.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeError } from "./describe-error.js";
import { printable } from "./terminal/printable.js";

/**
 * Does what can be done, and then fails with a line for each that could not.
 *
 * @param done the word for what was done, for example `approved`
 * @param work returns what people call the thing
 */
export async function forEachId(
  context: CommandContext,
  ids: readonly string[],
  done: string,
  work: (publishing: PublishingDatabase, id: string) => Promise<string>,
): Promise<void> {
  const problems: string[] = [];
  await changePublishingDatabase(context, async (publishing) => {
    for (const id of ids) {
      try {
        const name = await work(publishing, id);
        context.print(`${done} ${id} (${printable(name)})`);
      } catch (error) {
        problems.push(describeError(error));
      }
    }
  });
  if (problems.length > 0) throw new CommandFailure(problems);
}
