import { eq } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { systemConfig } from "../schema/platform/index.js";

/** The value the platform keeps under a key; undefined when there is none. */
export async function findSystemConfigValue(db: Queryable, key: string): Promise<string | undefined> {
  const [row] = await db.select({ value: systemConfig.value }).from(systemConfig).where(eq(systemConfig.key, key));
  return row?.value;
}
