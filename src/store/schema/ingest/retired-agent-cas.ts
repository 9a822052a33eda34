import { text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** Agent CAs that an operator stopped trusting before they expired. */
export const retiredAgentCas = ingest.table("retired_agent_cas", {
  fingerprintSha256: text("fingerprint_sha256").primaryKey(),
  retiredAt: timestamp("retired_at", { withTimezone: true }).notNull().defaultNow(),
});
