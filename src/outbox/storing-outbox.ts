import { tellOfOutboxRows } from "../store/outbox/outbox-rows.js";
import { CollectedMessages, writeMessages } from "./collected-messages.js";
import type { Outbox } from "./outbox.js";

/** An outbox of a process that publishes nothing itself: the instances of the service are told of what it writes. */
export function createStoringOutbox(): Outbox {
  return {
    transaction: (database, work, options) =>
      database.transaction(async (tx) => {
        const collected = new CollectedMessages();
        const result = await work(tx, collected);
        const rows = await writeMessages(tx, collected.sets, () => 0);
        if (rows.length > 0) await tellOfOutboxRows(tx);
        return result;
      }, options),
  };
}
