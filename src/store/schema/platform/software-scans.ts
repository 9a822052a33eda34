import { index, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";
import { taskRunHosts } from "./task-run-hosts.js";

/** One software inventory upload. */
export const softwareScans = pgTable(
  "software_scans",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    taskRunHostId: text("task_run_host_id").references(() => taskRunHosts.id),
    status: text("status").notNull(),
    source: text("source"),
    packageCount: integer("package_count").notNull().default(0),
    addedCount: integer("added_count").notNull().default(0),
    removedCount: integer("removed_count").notNull().default(0),
    unchangedCount: integer("unchanged_count").notNull().default(0),
    errorMessage: text("error_message"),
    startedAt: timestamp("started_at", { withTimezone: true }),
    completedAt: timestamp("completed_at", { withTimezone: true }),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    index("software_scans_host_id_created_at_idx").on(table.hostId, table.createdAt),
    index("software_scans_organisation_id_created_at_idx").on(table.organisationId, table.createdAt),
  ],
);
