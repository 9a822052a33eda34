import { bigint, index, integer, json, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** Messages that were committed with what they tell of, and are not confirmed by the broker: a row for each batch and topic. */
export const outbox = ingest.table(
  "outbox",
  {
    /** In the order in which the messages of one agent were committed. */
    id: bigint("id", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    topic: text("topic").notNull(),
    /** The bodies of the messages, an array. Not jsonb, which refuses characters that agents may send. */
    messages: json("messages").$type<Record<string, unknown>[]>().notNull(),
    messageCount: integer("message_count").notNull(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
    /** Until then some instance is publishing it; null when nobody is. */
    leasedUntil: timestamp("leased_until", { withTimezone: true }),
  },
  (t) => [index("outbox_topic_idx").on(t.topic, t.id)],
);
