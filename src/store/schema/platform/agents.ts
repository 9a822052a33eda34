import { jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { agentEnrolmentTokens } from "./agent-enrolment-tokens.js";
import { organisations } from "./organisations.js";
import { user } from "./user.js";

/** An agent's identity. */
export const agents = pgTable("agents", {
  id: text("id").primaryKey(),
  organisationId: text("organisation_id")
    .notNull()
    .references(() => organisations.id),
  hostname: text("hostname").notNull(),
  publicKey: text("public_key").notNull().unique(),
  status: text("status").notNull().default("pending"),
  version: text("version"),
  os: text("os"),
  arch: text("arch"),
  lastHeartbeatAt: timestamp("last_heartbeat_at", { withTimezone: true }),
  approvedById: text("approved_by_id").references(() => user.id),
  approvedAt: timestamp("approved_at", { withTimezone: true }),
  enrolmentTokenId: text("enrolment_token_id").references(() => agentEnrolmentTokens.id),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  deletedAt: timestamp("deleted_at", { withTimezone: true }),
  metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  clientCertPem: text("client_cert_pem"),
  clientCertSerial: text("client_cert_serial").unique(),
  clientCertIssuedAt: timestamp("client_cert_issued_at", { withTimezone: true }),
  clientCertNotAfter: timestamp("client_cert_not_after", { withTimezone: true }),
});
