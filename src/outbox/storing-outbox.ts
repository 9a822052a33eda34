import { CollectedMessages, writeMessages } from "./collected-messages.js";
import type { Outbox } from "./outbox.js";

/** An outbox of a process that publishes nothing itself: the instances of the service find what it writes. */
export function createStoringOutbox(): Outbox {
  return {
    transaction: (database, work, limits) =>
      database.transaction(async (tx) => {
        const collected = new CollectedMessages();
        const result = await work(tx, collected);
        await writeMessages(tx, collected.sets, () => 0);
        return result;
      }, limits),
  };
}
