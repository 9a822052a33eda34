import { pgTable, text, timestamp } from "drizzle-orm/pg-core";

/** A key and its value. */
export const systemConfig = pgTable("system_config", {
  key: text("key").primaryKey(),
  value: text("value").notNull(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
});
