import { sql } from "drizzle-orm";
import { index, integer, pgTable, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";

/** A distinct tag of an organisation. */
export const tags = pgTable(
  "tags",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    key: text("key").notNull(),
    value: text("value").notNull(),
    usageCount: integer("usage_count").notNull().default(0),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("tags_organisation_id_lower_key_lower_value_unique").on(
      table.organisationId,
      sql`lower(${table.key})`,
      sql`lower(${table.value})`,
    ),
    index("tags_organisation_id_key_idx").on(table.organisationId, table.key),
  ],
);
