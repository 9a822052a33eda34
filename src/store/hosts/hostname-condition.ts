import { type AnyColumn, type SQL, sql } from "drizzle-orm";
import { hostnameSpellings } from "../../lib/formats/hostname-spellings.js";

/** Whether a column has a hostname, whatever its case and the database's locale, with or without a dot at its end. */
export function hasHostname(column: AnyColumn | SQL, hostname: string): SQL {
  const names = sql.param(hostnameSpellings(hostname));
  return sql`lower(${column}) = any(array(select lower(name) from unnest(${names}::text[]) as name))`;
}
