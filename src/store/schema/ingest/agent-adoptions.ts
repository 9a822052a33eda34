import { sql } from "drizzle-orm";
import { index, jsonb, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { hosts } from "../platform/hosts.js";
import { ingest } from "./schema.js";

/** Agents that a new key has adopted and nobody has approved yet: the old key, proven, undoes it. */
export const agentAdoptions = ingest.table(
  "agent_adoptions",
  {
    agentId: text("agent_id")
      .primaryKey()
      .references(() => agents.id, { onDelete: "cascade" }),
    /** The host that went over: an agent may have more than one. */
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id, { onDelete: "cascade" }),
    previousPublicKey: text("previous_public_key").notNull().unique(),
    /** By which the host is still found: undoing gives them back to it. */
    previousHostname: text("previous_hostname").notNull().default(""),
    previousAddresses: text("previous_addresses").array().notNull().default([]),
    /** The columns of `agents` and `hosts` that undoing puts back. */
    previous: jsonb("previous").$type<Record<string, unknown>>().notNull(),
    adoptedAt: timestamp("adopted_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (t) => [
    index("agent_adoptions_previous_hostname_idx").on(sql`lower(${t.previousHostname})`),
    index("agent_adoptions_previous_addresses_idx").using("gin", t.previousAddresses).with({ fastupdate: false }),
  ],
);
