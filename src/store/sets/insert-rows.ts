import { getTableColumns, type SQL, sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";

/**
 * An `insert` whose text is the same for any number of rows, so that the server can keep it. They are one value, in JSON,
 * which PostgreSQL reads by the types that the table's columns have: the platform may make an enum of one of text.
 *
 * @param columns those that are written; the others get what is their default
 */
export function insertRows<T extends PgTable>(
  table: T,
  columns: readonly (keyof T["$inferInsert"] & string)[],
  rows: readonly T["$inferInsert"][],
): SQL {
  const all = getTableColumns(table);
  const named = columns.map((column) => ({ column, name: all[column]?.name ?? column }));
  const list = sql.raw(named.map(({ name }) => `"${name}"`).join(", "));
  const json = JSON.stringify(
    rows.map((row) => Object.fromEntries(named.map(({ column, name }) => [name, row[column as keyof typeof row]]))),
  );
  return sql`
    insert into ${table} (${list})
    select ${list} from jsonb_populate_recordset(null::${table}, ${json}::jsonb)`;
}
