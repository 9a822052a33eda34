import { boolean, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** The processes that serve agents. Each renews its row every few seconds, and takes it away when it ends in order. */
export const instances = ingest.table("instances", {
  id: text("id").primaryKey(),
  /** Of the service. */
  version: text("version").notNull(),
  /** The machine's name, and the port that agents connect to. */
  address: text("address").notNull(),
  startedAt: timestamp("started_at", { withTimezone: true }).notNull().defaultNow(),
  renewedAt: timestamp("renewed_at", { withTimezone: true }).notNull().defaultNow(),
  /** It tells its agents to go elsewhere. */
  draining: boolean("draining").notNull().default(false),
});
