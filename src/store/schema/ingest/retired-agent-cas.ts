import { text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/**
 * Where version 0.1 looks for the agent CAs that an operator stopped trusting; their rows in `certificate_authorities` say
 * so now. It stays while instances of 0.1 may run beside others, and their statements name it.
 */
export const retiredAgentCas = ingest.table("retired_agent_cas", {
  fingerprintSha256: text("fingerprint_sha256").primaryKey(),
  retiredAt: timestamp("retired_at", { withTimezone: true }).notNull().defaultNow(),
});
