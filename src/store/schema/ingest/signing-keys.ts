import { jsonb, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** The public halves of the keys that sign access tokens: every instance publishes, and verifies with, all of them. */
export const signingKeys = ingest.table("signing_keys", {
  kid: text("kid").primaryKey(),
  publicJwk: jsonb("public_jwk").$type<{ kty: string; n: string; e: string }>().notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  /** Until when tokens signed with it may be around; put off by whoever signs with it. */
  publishedUntil: timestamp("published_until", { withTimezone: true }).notNull(),
});
