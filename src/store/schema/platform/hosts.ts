import { asc } from "drizzle-orm";
import { integer, jsonb, pgTable, real, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "./agents.js";
import { organisations } from "./organisations.js";

/** A machine. */
export const hosts = pgTable("hosts", {
  id: text("id").primaryKey(),
  organisationId: text("organisation_id")
    .notNull()
    .references(() => organisations.id),
  agentId: text("agent_id").references(() => agents.id),
  hostname: text("hostname").notNull(),
  displayName: text("display_name"),
  os: text("os"),
  osVersion: text("os_version"),
  arch: text("arch"),
  ipAddresses: jsonb("ip_addresses").$type<string[]>(),
  cpuPercent: real("cpu_percent"),
  memoryPercent: real("memory_percent"),
  diskPercent: real("disk_percent"),
  uptimeSeconds: integer("uptime_seconds"),
  status: text("status").notNull().default("unknown"),
  lastSeenAt: timestamp("last_seen_at", { withTimezone: true }),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  deletedAt: timestamp("deleted_at", { withTimezone: true }),
  metadata: jsonb("metadata").$type<Record<string, unknown>>(),
});

/**
 * Of an agent's hosts, the one that counts: the oldest. The earlier service could make two for one machine, and every
 * query must take the same.
 */
export const OLDEST_HOST_FIRST = [asc(hosts.createdAt), asc(hosts.id)] as const;
