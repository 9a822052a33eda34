import { bigint, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

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
  /** Null while its stream is up, and after an instance that died with it. */
  closedAt: timestamp("closed_at", { withTimezone: true }),
});
