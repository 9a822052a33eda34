import { sql } from "drizzle-orm";
import type { Queryable } from "./database.js";
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
    ...(hostname === undefined ? [] : [`hostname:${organisationId}:${hostname.toLowerCase()}`]),
    ...(isWide ? [] : addresses.map((address) => `address:${organisationId}:${address}`)),
  ];
  return [
    { name: `organisation:${organisationId}`, mode: isWide ? "exclusive" : "shared", order: 0 },
    keyLock(publicKey),
    ...names.map((name) => ({ name, mode: "exclusive", order: 1 }) as const),
  ];
}

/**
 * Takes locks, which serialises over all instances what is done under any of them. All in one order, so that two
 * transactions wait for each other and never in a circle.
 */
export async function takeRegistrationLocks(tx: Queryable, locks: readonly RegistrationLock[]): Promise<void> {
  const names = sql.param(locks.map(({ name }) => `ct-ops-ingest/${name}`));
  const orders = sql.param(locks.map(({ order }) => order));
  const modes = sql.param(locks.map(({ mode }) => mode));
  await tx.execute(sql`
    select case mode when 'shared' then pg_advisory_xact_lock_shared(key) else pg_advisory_xact_lock(key) end
    from (
      select hashtextextended(name, 0) as key, mode
      from unnest(${names}::text[], ${orders}::int[], ${modes}::text[]) as l(name, ord, mode)
      order by ord, key
    ) as ordered`);
}
