import { type SQL, sql } from "drizzle-orm";
import type { Transaction } from "../transaction.js";
import type { MachineDescription } from "./matching-hosts.js";

/** The name of what is locked for whatever is done for one key. */
export function keyLock(publicKey: string): string {
  return `key:${publicKey}`;
}

/**
 * The names of what is locked for the enrolment of a key: the key, and what the machine has in common with others that
 * may be the same one, its hostname and its addresses. Each takes a place in a table that all connections share; a
 * machine has no more than 32 addresses that count.
 */
export function registrationLocks(
  publicKey: string,
  { organisationId, hostname, addresses }: MachineDescription,
): string[] {
  return [
    keyLock(publicKey),
    ...(hostname === undefined ? [] : [`hostname:${organisationId}:${foldCase(hostname)}`]),
    ...addresses.map((address) => `address:${organisationId}:${address}`),
  ];
}

/**
 * Folds at least what the database folds when it compares hostnames: two that it takes for equal have one lock. That
 * others have the same one costs a wait.
 */
function foldCase(hostname: string): string {
  return hostname.toLowerCase().toUpperCase().normalize("NFD").replace(/\p{M}/gu, "");
}

/**
 * Takes locks, which serialises over all instances what is done under any of them. All in one order, so that two
 * transactions wait for each other and never in a circle.
 */
export async function takeRegistrationLocks(tx: Transaction, names: readonly string[]): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(key) from (${inOrder(names)}) as ordered`);
}

/**
 * Takes those locks that nobody else holds.
 *
 * @returns the names of the others
 */
export async function tryRegistrationLocks(tx: Transaction, names: readonly string[]): Promise<Set<string>> {
  const { rows } = await tx.execute<{ name: string }>(sql`
    select name from (${inOrder(names)}) as ordered where not pg_try_advisory_xact_lock(key)`);
  return new Set(rows.map(({ name }) => name));
}

function inOrder(names: readonly string[]): SQL {
  return sql`
    select name, hashtextextended('ct-ops-ingest/' || name, 0) as key
    from unnest(${sql.param([...names])}::text[]) as l(name)
    order by key`;
}
