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
    /** The key of a registration, in its stored form. */
    publicKey: text("public_key"),
    hostname: text("hostname"),
    remoteAddress: text("remote_address").notNull(),
  },
  (t) => [
    index("refusals_agent_id_idx").on(t.agentId, t.refusedAt),
    index("refusals_public_key_idx").on(t.publicKey, t.refusedAt),
    index("refusals_refused_at_idx").on(t.refusedAt),
  ],
);
