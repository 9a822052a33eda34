import { type SQL, sql } from "drizzle-orm";
import type { Transaction } from "../transaction.js";

/** A foreign key that would keep rows from being deleted. Names are quoted as SQL needs them. */
interface Reference {
  table: string;
  columns: string;
  referencedColumns: string;
}

/**
 * Deletes what refers to some rows, and what refers to that. Which tables do so is read from the catalogue: the
 * platform has more of them than this service knows, and adds others with its releases.
 *
 * @param table the table they are in, quoted as SQL needs it
 * @param rows the condition that selects them
 * @param except names of tables that are left alone
 */
export async function deleteDependents(
  tx: Transaction,
  table: string,
  rows: SQL,
  except: readonly string[],
): Promise<void> {
  for (const reference of await listReferences(tx, table)) {
    // A table that refers to itself, or back: its rows here are deleted by whoever called.
    if (except.includes(reference.table) || reference.table === table) continue;
    const referring = sql`(${sql.raw(reference.columns)}) in
      (select ${sql.raw(reference.referencedColumns)} from ${sql.raw(table)} where ${rows})`;
    await deleteDependents(tx, reference.table, referring, [...except, table]);
    await tx.execute(sql`delete from ${sql.raw(reference.table)} where ${referring}`);
  }
}

/** Not those that cascade or set null by themselves, nor the copies that partitions and chunks have of them. */
async function listReferences(tx: Transaction, table: string): Promise<Reference[]> {
  const columnsOf = (relation: SQL, key: SQL) => sql`
    (select string_agg(quote_ident(a.attname), ', ' order by k.position)
     from unnest(${key}) with ordinality as k(attnum, position)
     join pg_attribute a on a.attrelid = ${relation} and a.attnum = k.attnum)`;
  const { rows } = await tx.execute<Reference & Record<string, unknown>>(sql`
    select c.conrelid::regclass::text as "table",
           ${columnsOf(sql`c.conrelid`, sql`c.conkey`)} as columns,
           ${columnsOf(sql`c.confrelid`, sql`c.confkey`)} as "referencedColumns"
    from pg_constraint c
    where c.contype = 'f'
      and c.confrelid = to_regclass(${table})
      and c.confdeltype in ('a', 'r')
      and not exists (select from pg_inherits i where i.inhrelid = c.conrelid)
    order by "table", c.conname`);
  return rows;
}
