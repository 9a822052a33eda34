import { boolean, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { organisations } from "./organisations.js";

/** A user of the web app. */
export const user = pgTable("user", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  email: text("email").notNull().unique(),
  emailVerified: boolean("email_verified").notNull().default(false),
  image: text("image"),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull().defaultNow(),
  organisationId: text("organisation_id").references(() => organisations.id),
  role: text("role").notNull().default("engineer"),
  isActive: boolean("is_active").notNull().default(true),
  twoFactorEnabled: boolean("two_factor_enabled").notNull().default(false),
  deletedAt: timestamp("deleted_at", { withTimezone: true }),
  theme: text("theme").notNull().default("system"),
  notificationsEnabled: boolean("notifications_enabled").notNull().default(true),
});
