import { bigint, boolean, doublePrecision, integer, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/**
 * The instances that publish to a broker, as each says of itself every few seconds. Also how commands know that a queue
 * is in use.
 */
export const publishers = ingest.table("publishers", {
  instanceId: text("instance_id").primaryKey(),
  /** Where its broker is, without credentials. */
  broker: text("broker").notNull(),
  connected: boolean("connected").notNull(),
  /** Why the broker takes nothing although it is connected. */
  blocked: text("blocked"),
  inFlight: integer("in_flight").notNull(),
  /** Since its start. */
  confirmed: bigint("confirmed", { mode: "number" }).notNull(),
  confirmedPerSecond: doublePrecision("confirmed_per_second").notNull(),
  lastError: text("last_error"),
  lastErrorAt: timestamp("last_error_at", { withTimezone: true }),
  renewedAt: timestamp("renewed_at", { withTimezone: true }).notNull().defaultNow(),
});
