import { index, jsonb, pgTable, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";

/** A package seen on a host. */
export const softwarePackages = pgTable(
  "software_packages",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    name: text("name").notNull(),
    version: text("version").notNull(),
    architecture: text("architecture"),
    publisher: text("publisher"),
    source: text("source").notNull(),
    installDate: timestamp("install_date", { withTimezone: true }),
    firstSeenAt: timestamp("first_seen_at", { withTimezone: true }).notNull().defaultNow(),
    lastSeenAt: timestamp("last_seen_at", { withTimezone: true }).notNull().defaultNow(),
    removedAt: timestamp("removed_at", { withTimezone: true }),
    cveMatches: jsonb("cve_matches").$type<unknown>(),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
  },
  (table) => [
    uniqueIndex("software_packages_organisation_id_host_id_name_version_architec").on(
      table.organisationId,
      table.hostId,
      table.name,
      table.version,
      table.architecture,
    ),
    index("software_packages_organisation_id_name_idx").on(table.organisationId, table.name),
    index("software_packages_host_id_idx").on(table.hostId),
    index("software_packages_organisation_id_first_seen_at_idx").on(table.organisationId, table.firstSeenAt),
  ],
);
