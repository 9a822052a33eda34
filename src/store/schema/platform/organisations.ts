import { integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";

/** A tenant. */
export const organisations = pgTable("organisations", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  slug: text("slug").notNull().unique(),
  logoUrl: text("logo_url"),
  licenceTier: text("licence_tier").notNull().default("community"),
  licenceKey: text("licence_key"),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  deletedAt: timestamp("deleted_at", { withTimezone: true }),
  metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  metricRetentionDays: integer("metric_retention_days").notNull().default(30),
});
