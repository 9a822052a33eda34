import { bigint, integer, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

/**
 * The newest session of every agent that ever opened one. Each session takes the next epoch; only the holder of the
 * current one may mark the agent offline. When it last spoke is in `agents.last_heartbeat_at`, which every heartbeat
 * writes anyway: nothing here is written for one.
 */
export const agentSessions = ingest.table("agent_sessions", {
  agentId: text("agent_id")
    .primaryKey()
    .references(() => agents.id, { onDelete: "cascade" }),
  epoch: bigint("epoch", { mode: "number" }).notNull(),
  instanceId: text("instance_id").notNull(),
  openedAt: timestamp("opened_at", { withTimezone: true }).notNull().defaultNow(),
  /** Null while its stream is up, and after an instance that ended with it. */
  closedAt: timestamp("closed_at", { withTimezone: true }),
  /** The other end of its connection, and what its agent was and said as it opened. */
  remoteAddress: text("remote_address"),
  hostname: text("hostname"),
  uptimeSeconds: integer("uptime_seconds"),
  /** Between two regular messages of the agent, as learned, also from earlier sessions; null until it is known. */
  intervalMs: integer("interval_ms"),
});
