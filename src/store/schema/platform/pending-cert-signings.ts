import { customType, index, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "./agents.js";

const bytea = customType<{ data: Buffer }>({ dataType: () => "bytea" });

/** A CSR that the earlier service left waiting for an approval. */
export const pendingCertSignings = pgTable(
  "pending_cert_signings",
  {
    id: text("id").primaryKey(),
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id),
    csrDer: bytea("csr_der").notNull(),
    requestedAt: timestamp("requested_at", { withTimezone: true }).notNull().defaultNow(),
    lastError: text("last_error"),
    lastAttemptAt: timestamp("last_attempt_at", { withTimezone: true }),
  },
  (table) => [index("pending_cert_signings_requested_at_idx").on(table.requestedAt)],
);
