import { primaryKey, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

/** Agents that wait for approval since their machine has an address in common with a host of another name. */
export const addressRemarks = ingest.table(
  "address_remarks",
  {
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id, { onDelete: "cascade" }),
    /** No reference: whoever deletes that host is not waited for. */
    hostId: text("host_id").notNull(),
    /** As it was at the time. */
    hostname: text("hostname").notNull(),
    addresses: text("addresses").array().notNull(),
    /** The host exists since then. */
    since: timestamp("since", { withTimezone: true }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.agentId, t.hostId] })],
);
