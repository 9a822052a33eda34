import { index, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { checks } from "./checks.js";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";

/** A result of a check. */
export const checkResults = pgTable(
  "check_results",
  {
    id: text("id").primaryKey(),
    checkId: text("check_id")
      .notNull()
      .references(() => checks.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    ranAt: timestamp("ran_at", { withTimezone: true }).notNull(),
    status: text("status").notNull(),
    output: text("output"),
    durationMs: integer("duration_ms"),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    index("check_results_check_id_ran_at_idx").on(table.checkId, table.ranAt),
    index("check_results_organisation_id_ran_at_idx").on(table.organisationId, table.ranAt),
  ],
);
