import { index, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";

/** A one-shot query for a host. */
export const agentQueries = pgTable(
  "agent_queries",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    queryType: text("query_type").notNull(),
    status: text("status").notNull().default("pending"),
    result: jsonb("result").$type<unknown>(),
    error: text("error"),
    requestedAt: timestamp("requested_at", { withTimezone: true }).notNull().defaultNow(),
    completedAt: timestamp("completed_at", { withTimezone: true }),
    expiresAt: timestamp("expires_at", { withTimezone: true }).notNull(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  },
  (table) => [
    index("agent_queries_host_id_status_idx").on(table.hostId, table.status),
    index("agent_queries_organisation_id_requested_at_idx").on(table.organisationId, table.requestedAt),
  ],
);
