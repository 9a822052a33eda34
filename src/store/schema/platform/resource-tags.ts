import { index, pgTable, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";
import { tags } from "./tags.js";

/** A tag linked to a resource. */
export const resourceTags = pgTable(
  "resource_tags",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    resourceId: text("resource_id").notNull(),
    resourceType: text("resource_type").notNull(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    tagId: text("tag_id")
      .notNull()
      .references(() => tags.id),
  },
  (table) => [
    index("resource_tags_resource_id_resource_type_idx").on(table.resourceId, table.resourceType),
    index("resource_tags_tag_id_idx").on(table.tagId),
    uniqueIndex("resource_tags_resource_id_resource_type_tag_id_unique").on(
      table.resourceId,
      table.resourceType,
      table.tagId,
    ),
  ],
);
