import { text, timestamp } from "drizzle-orm/pg-core";
import { hosts } from "../platform/hosts.js";
import { ingest } from "./schema.js";

/** Of each host what its inventory was when it was written last: so that nothing of it is read to see whether it changed. */
export const hostInventories = ingest.table("host_inventories", {
  hostId: text("host_id")
    .primaryKey()
    .references(() => hosts.id, { onDelete: "cascade" }),
  digest: text("digest").notNull(),
  /** Of `hosts.ip_addresses` alone. */
  addressesDigest: text("addresses_digest").notNull(),
  writtenAt: timestamp("written_at", { withTimezone: true }).notNull().defaultNow(),
});
