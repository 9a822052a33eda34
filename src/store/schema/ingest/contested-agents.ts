import { integer, jsonb, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

/** One of two that used the identity of one agent. */
export interface ContestPeer {
  remoteAddress: string | null;
  hostname: string | null;
  uptimeSeconds: number | null;
}

/** Agents whose sessions displaced each other, on whatever instances: one machine too many may have their identity. */
export const contestedAgents = ingest.table("contested_agents", {
  agentId: text("agent_id")
    .primaryKey()
    .references(() => agents.id, { onDelete: "cascade" }),
  /** One shortly after the other. */
  displacements: integer("displacements").notNull(),
  lastAt: timestamp("last_at", { withTimezone: true }).notNull().defaultNow(),
  /** The one that was displaced last, and the one in its place. */
  peers: jsonb("peers").$type<ContestPeer[]>().notNull(),
  /** Since when they are too many for one machine that reconnects; null when they are not. */
  suspectedAt: timestamp("suspected_at", { withTimezone: true }),
  /** Since when neither is let in; null when both are. */
  lockedAt: timestamp("locked_at", { withTimezone: true }),
});
