import { index, integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { organisations } from "./organisations.js";
import { taskRuns } from "./task-runs.js";

/** One host of a task run. */
export const taskRunHosts = pgTable(
  "task_run_hosts",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    taskRunId: text("task_run_id")
      .notNull()
      .references(() => taskRuns.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    status: text("status").notNull().default("pending"),
    skipReason: text("skip_reason"),
    exitCode: integer("exit_code"),
    rawOutput: text("raw_output").notNull().default(""),
    result: jsonb("result").$type<unknown>(),
    startedAt: timestamp("started_at", { withTimezone: true }),
    completedAt: timestamp("completed_at", { withTimezone: true }),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  },
  (table) => [
    index("task_run_hosts_task_run_id_idx").on(table.taskRunId),
    index("task_run_hosts_host_id_status_idx").on(table.hostId, table.status),
  ],
);
