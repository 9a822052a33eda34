import { boolean, index, integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";

/** A check definition of a host, or a template. */
export const checks = pgTable(
  "checks",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    hostId: text("host_id").references(() => hosts.id),
    name: text("name").notNull(),
    checkType: text("check_type").notNull(),
    config: jsonb("config").$type<unknown>().notNull(),
    enabled: boolean("enabled").notNull().default(true),
    intervalSeconds: integer("interval_seconds").notNull().default(60),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  },
  (table) => [index("checks_organisation_id_host_id_idx").on(table.organisationId, table.hostId)],
);
