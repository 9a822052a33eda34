import { index, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

/** Which version each agent was told of last, so that a fleet does not download at once, nor an agent again and again. */
export const updateOffers = ingest.table(
  "update_offers",
  {
    agentId: text("agent_id")
      .primaryKey()
      .references(() => agents.id, { onDelete: "cascade" }),
    /** The version that it was told of. */
    version: text("version").notNull(),
    offeredAt: timestamp("offered_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (t) => [index("update_offers_offered_at_idx").on(t.offeredAt)],
);
