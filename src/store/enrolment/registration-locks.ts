import { type SQL, sql } from "drizzle-orm";
import type { Transaction } from "../transaction.js";
import type { MachineDescription } from "./matching-hosts.js";

/** Each lock takes a place in a table that all connections share, so one request must not take hundreds. */
const MAX_ADDRESS_LOCKS = 32;

/** A lock over all instances, held until a transaction ends. */
export interface RegistrationLock {
  name: string;
  mode: "shared" | "exclusive";
  /** Locks of a lower order are taken first. */
  order: 0 | 1;
}

/** What is locked for whatever is done for one key. */
export function keyLock(publicKey: string): RegistrationLock {
  return { name: `key:${publicKey}`, mode: "exclusive", order: 1 };
}

/**
 * What is locked for the enrolment of a key: the key, and what the machine has in common with others that may be the
 * same one, its hostname and its addresses. A machine with very many addresses locks its whole organisation instead.
 */
export function registrationLocks(
  publicKey: string,
  { organisationId, hostname, addresses }: MachineDescription,
): RegistrationLock[] {
  const isWide = addresses.length > MAX_ADDRESS_LOCKS;
  const names = [
    ...(hostname === undefined ? [] : [`hostname:${organisationId}:${foldCase(hostname)}`]),
    ...(isWide ? [] : addresses.map((address) => `address:${organisationId}:${address}`)),
  ];
  return [
    { name: `organisation:${organisationId}`, mode: isWide ? "exclusive" : "shared", order: 0 },
    keyLock(publicKey),
    ...names.map((name) => ({ name, mode: "exclusive", order: 1 }) as const),
  ];
}

/**
 * Folds at least what `lower()` folds, in whichever locale the database has: two hostnames that it takes for equal have
 * one lock. That others have the same one costs a wait.
 */
function foldCase(hostname: string): string {
  return hostname.toLowerCase().toUpperCase().normalize("NFD").replace(/\p{M}/gu, "");
}

/** Whether locks exclude every other registration of an organisation. */
export function excludeOrganisation(locks: readonly RegistrationLock[]): boolean {
  return locks.some(({ mode, order }) => mode === "exclusive" && order === 0);
}

/**
 * Takes locks, which serialises over all instances what is done under any of them. All in one order, so that two
 * transactions wait for each other and never in a circle.
 */
export async function takeRegistrationLocks(tx: Transaction, locks: readonly RegistrationLock[]): Promise<void> {
  await tx.execute(sql`
    select case mode when 'shared' then pg_advisory_xact_lock_shared(key) else pg_advisory_xact_lock(key) end
    from (${inOrder(locks)}) as ordered`);
}

/**
 * Takes those locks that nobody else holds.
 *
 * @returns the names of the others
 */
export async function tryRegistrationLocks(tx: Transaction, locks: readonly RegistrationLock[]): Promise<Set<string>> {
  const { rows } = await tx.execute<{ name: string }>(sql`
    select name
    from (${inOrder(locks)}) as ordered
    where not case mode when 'shared' then pg_try_advisory_xact_lock_shared(key) else pg_try_advisory_xact_lock(key) end`);
  return new Set(rows.map(({ name }) => name));
}

function inOrder(locks: readonly RegistrationLock[]): SQL {
  const names = sql.param(locks.map(({ name }) => name));
  const orders = sql.param(locks.map(({ order }) => order));
  const modes = sql.param(locks.map(({ mode }) => mode));
  return sql`
    select name, hashtextextended('ct-ops-ingest/' || name, 0) as key, mode
    from unnest(${names}::text[], ${orders}::int[], ${modes}::text[]) as l(name, ord, mode)
    order by ord, key`;
}
