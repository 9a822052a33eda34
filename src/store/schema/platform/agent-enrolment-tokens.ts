import { boolean, integer, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";
import { user } from "./user.js";

/** An enrolment token, found by its hash. */
export const agentEnrolmentTokens = pgTable("agent_enrolment_tokens", {
  id: text("id").primaryKey(),
  organisationId: text("organisation_id")
    .notNull()
    .references(() => organisations.id),
  label: text("label").notNull(),
  token: text("token").notNull().unique(),
  createdById: text("created_by_id")
    .notNull()
    .references(() => user.id),
  autoApprove: boolean("auto_approve").notNull().default(false),
  maxUses: integer("max_uses"),
  usageCount: integer("usage_count").notNull().default(0),
  expiresAt: timestamp("expires_at", { withTimezone: true }),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  deletedAt: timestamp("deleted_at", { withTimezone: true }),
  metadata: jsonb("metadata").$type<Record<string, unknown>>(),
  skipVerify: boolean("skip_verify").notNull().default(false),
  tokenHash: text("token_hash").unique(),
});
