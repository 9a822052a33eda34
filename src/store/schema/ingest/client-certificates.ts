import { index, text, timestamp } from "drizzle-orm/pg-core";
import { agents } from "../platform/agents.js";
import { ingest } from "./schema.js";

/** Every client certificate that has not expired, so that revoking an agent revokes all it holds. */
export const clientCertificates = ingest.table(
  "client_certificates",
  {
    /** Lower-case hex without leading zeros. */
    serial: text("serial").primaryKey(),
    agentId: text("agent_id")
      .notNull()
      .references(() => agents.id, { onDelete: "cascade" }),
    /** Fingerprint of the agent CA that issued it, as in `certificate_authorities`. */
    issuerFingerprintSha256: text("issuer_fingerprint_sha256").notNull(),
    notBefore: timestamp("not_before", { withTimezone: true }).notNull(),
    notAfter: timestamp("not_after", { withTimezone: true }).notNull(),
  },
  (t) => [
    index("client_certificates_agent_id_idx").on(t.agentId),
    index("client_certificates_issuer_idx").on(t.issuerFingerprintSha256, t.notAfter),
  ],
);
