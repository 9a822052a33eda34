import { index, integer, pgTable, real, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";

/** One heartbeat of a host in the time series. Possibly a TimescaleDB hypertable. */
export const hostMetrics = pgTable(
  "host_metrics",
  {
    id: text("id").notNull(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    recordedAt: timestamp("recorded_at", { withTimezone: true }).notNull(),
    cpuPercent: real("cpu_percent"),
    memoryPercent: real("memory_percent"),
    diskPercent: real("disk_percent"),
    uptimeSeconds: integer("uptime_seconds"),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex("host_metrics_id_recorded_at_unique").on(table.id, table.recordedAt),
    index("host_metrics_organisation_id_host_id_recorded_at_idx").on(
      table.organisationId,
      table.hostId,
      table.recordedAt,
    ),
  ],
);
