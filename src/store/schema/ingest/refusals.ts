import { index, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** What was refused lately and why, for the operator who asks after an agent. Pruned; no reference into `public`. */
export const refusals = ingest.table(
  "refusals",
  {
    id: text("id").primaryKey(),
    refusedAt: timestamp("refused_at", { withTimezone: true }).notNull(),
    method: text("method").notNull(),
    reason: text("reason").notNull(),
    message: text("message").notNull(),
    /** The agent that was named by credentials that stood up so far; null when none was. */
    agentId: text("agent_id"),
    /** The key that the caller proved to have, in its stored form. */
    publicKey: text("public_key"),
    /** Of the client certificate that was presented, whoever issued it. */
    certificateSerial: text("certificate_serial"),
    /** Of a registration whose key was proven; the name itself is only said. */
    hostname: text("hostname"),
    remoteAddress: text("remote_address").notNull(),
    /** Whose share of the record it takes: an agent's, `agent:<id>`, or that of an address, `source:<address>`. */
    share: text("share").notNull().default("source:"),
  },
  (t) => [
    index("refusals_agent_id_idx").on(t.agentId, t.refusedAt),
    index("refusals_public_key_idx").on(t.publicKey, t.refusedAt),
    index("refusals_certificate_serial_idx").on(t.certificateSerial),
    index("refusals_refused_at_idx").on(t.refusedAt),
  ],
);
