import { jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "./agents.js";
import { organisations } from "./organisations.js";

/** A change of an agent's status; append-only. */
export const agentStatusHistory = pgTable("agent_status_history", {
  id: text("id").primaryKey(),
  agentId: text("agent_id")
    .notNull()
    .references(() => agents.id),
  organisationId: text("organisation_id")
    .notNull()
    .references(() => organisations.id),
  status: text("status").notNull(),
  actorId: text("actor_id"),
  reason: text("reason"),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  metadata: jsonb("metadata").$type<Record<string, unknown>>(),
});
