import { bigint, pgSchema, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "./agents.js";

const ingest = pgSchema("ingest");

/**
 * The newest session of every agent that ever opened one. Each session takes the next epoch; only the holder of the
 * current one may mark the agent offline.
 */
export const agentSessions = ingest.table("agent_sessions", {
  agentId: text("agent_id")
    .primaryKey()
    .references(() => agents.id, { onDelete: "cascade" }),
  epoch: bigint("epoch", { mode: "number" }).notNull(),
  instanceId: text("instance_id").notNull(),
  openedAt: timestamp("opened_at", { withTimezone: true }).notNull().defaultNow(),
});
