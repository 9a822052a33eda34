import type { Queryable } from "../store/database.js";
import { readBacklog } from "../store/outbox/backlog.js";
import { forgetSilentPublishers } from "../store/outbox/publishers.js";

/** An instance that said nothing for so long is gone, or has no broker any more. */
const SILENT_S = 60;

/**
 * For an instance without a broker: commands write no more messages, unless another instance publishes.
 *
 * @returns how many messages wait in the outbox
 */
export async function findAbandonedMessages(db: Queryable): Promise<number> {
  await forgetSilentPublishers(db, SILENT_S);
  return (await readBacklog(db)).reduce((sum, { messages }) => sum + messages, 0);
}
