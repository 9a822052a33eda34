import { boolean, jsonb, pgTable, text, timestamp, uniqueIndex } from "drizzle-orm/pg-core";
import { hosts } from "./hosts.js";
import { networks } from "./networks.js";
import { organisations } from "./organisations.js";

/** A host in a network; the service owns the automatically assigned ones. */
export const hostNetworkMemberships = pgTable(
  "host_network_memberships",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    networkId: text("network_id")
      .notNull()
      .references(() => networks.id),
    hostId: text("host_id")
      .notNull()
      .references(() => hosts.id),
    autoAssigned: boolean("auto_assigned").notNull().default(false),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  },
  (table) => [uniqueIndex("host_network_memberships_network_id_host_id_unique").on(table.networkId, table.hostId)],
);
