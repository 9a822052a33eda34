import { bigint, primaryKey, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** How many messages were given up so far. */
export const droppedMessages = ingest.table(
  "dropped_messages",
  {
    topic: text("topic").notNull(),
    /** Where there was no room: `outbox` or `unroutable`. */
    from: text("from").notNull(),
    messageCount: bigint("message_count", { mode: "number" }).notNull(),
    droppedAt: timestamp("dropped_at", { withTimezone: true }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.topic, t.from] })],
);
