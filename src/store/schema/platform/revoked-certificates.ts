import { index, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";

/** The serial of a revoked client certificate. */
export const revokedCertificates = pgTable(
  "revoked_certificates",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id")
      .notNull()
      .references(() => organisations.id),
    serial: text("serial").notNull().unique(),
    reason: text("reason"),
    revokedAt: timestamp("revoked_at", { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [index("revoked_certificates_organisation_id_idx").on(table.organisationId)],
);
