import { bigint, index, integer, json, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** Messages that no queue was bound for, set aside until somebody asks for them again. The oldest are dropped. */
export const unroutableMessages = ingest.table(
  "unroutable_messages",
  {
    id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    topic: text("topic").notNull(),
    messages: json("messages").$type<Record<string, unknown>[]>().notNull(),
    messageCount: integer("message_count").notNull(),
    /** When they were committed. */
    createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
  },
  (t) => [index("unroutable_messages_topic_idx").on(t.topic, t.id)],
);
