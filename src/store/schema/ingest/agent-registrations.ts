import { boolean, index, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

/** When each agent registered last, and with which of the addresses that tell machines apart. */
export const agentRegistrations = ingest.table(
  "agent_registrations",
  {
    agentId: text("agent_id")
      .primaryKey()
      .references(() => agents.id, { onDelete: "cascade" }),
    registeredAt: timestamp("registered_at", { withTimezone: true }).notNull().defaultNow(),
    remoteAddress: text("remote_address"),
    /** Whether the connection showed a certificate of the agent's own key: that key was there, not only an old request. */
    showedCertificate: boolean("showed_certificate"),
    /** They stand for a host that has not reported its own yet: `hosts.ip_addresses` is null until a heartbeat. */
    identifyingAddresses: text("identifying_addresses").array().notNull().default([]),
  },
  (t) => [
    index("agent_registrations_identifying_addresses_idx")
      .using("gin", t.identifyingAddresses)
      .with({ fastupdate: false }),
  ],
);
