import { index, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";

/** A certificate authority; soft-deleted ones stay trusted until they expire. */
export const certificateAuthorities = pgTable(
  "certificate_authorities",
  {
    id: text("id").primaryKey(),
    organisationId: text("organisation_id").references(() => organisations.id),
    purpose: text("purpose").notNull(),
    certPem: text("cert_pem").notNull(),
    keyPemEncrypted: text("key_pem_encrypted").notNull(),
    source: text("source").notNull(),
    fingerprintSha256: text("fingerprint_sha256").notNull().unique(),
    notBefore: timestamp("not_before", { withTimezone: true }).notNull(),
    notAfter: timestamp("not_after", { withTimezone: true }).notNull(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
    deletedAt: timestamp("deleted_at", { withTimezone: true }),
    metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  },
  (table) => [index("certificate_authorities_purpose_deleted_at_idx").on(table.purpose, table.deletedAt)],
);
