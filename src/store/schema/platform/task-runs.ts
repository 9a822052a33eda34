import { index, integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";
import { user } from "./user.js";

/** A task over a set of hosts. */
export const taskRuns = pgTable(
  "task_runs",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    triggeredBy: text("triggered_by").references(() => user.id),
    targetType: text("target_type").notNull(),
    targetId: text("target_id").notNull(),
    taskType: text("task_type").notNull(),
    config: jsonb("config").$type<unknown>().notNull(),
    maxParallel: integer("max_parallel").notNull().default(1),
    status: text("status").notNull().default("pending"),
    startedAt: timestamp("started_at", { withTimezone: true }),
    completedAt: timestamp("completed_at", { withTimezone: true }),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
    scheduledFromId: text("scheduled_from_id"),
  },
  (table) => [
    index("task_runs_organisation_id_created_at_idx").on(table.organisationId, table.createdAt),
    index("task_runs_target_type_target_id_idx").on(table.targetType, table.targetId),
    index("task_runs_scheduled_from_id_idx").on(table.scheduledFromId),
  ],
);
