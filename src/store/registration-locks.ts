import { sql } from "drizzle-orm";
import type { Queryable } from "./database.js";
import type { MachineDescription } from "./matching-hosts.js";

/** Each lock takes a place in a table that all connections share, so one request must not take hundreds. */
const MAX_ADDRESS_LOCKS = 32;

/** Serialises, over all instances, what is done for one key until the transaction ends. */
export async function lockRegistrationKey(tx: Queryable, publicKey: string): Promise<void> {
  await lockInOrder(tx, [keyLock(publicKey)]);
}

/**
 * Serialises, over all instances and until the transaction ends, the enrolments of one key, and those of machines that
 * may be the same one: with the same hostname, or an address in common. A machine with very many addresses locks its
 * whole organisation instead.
 */
export async function lockRegistration(
  tx: Queryable,
  publicKey: string,
  { organisationId, hostname, addresses }: MachineDescription,
): Promise<void> {
  const isWide = addresses.length > MAX_ADDRESS_LOCKS;
  await lockInOrder(tx, [
    { name: `organisation:${organisationId}`, order: 0, mode: isWide ? "exclusive" : "shared" },
    keyLock(publicKey),
    ...(hostname === undefined ? [] : [{ name: `hostname:${organisationId}:${hostname.toLowerCase()}` }]),
    ...(isWide ? [] : addresses.map((address) => ({ name: `address:${organisationId}:${address}` }))),
  ]);
}

interface NamedLock {
  name: string;
  /** Locks of a lower order are taken first; 1 unless given. */
  order?: number;
  mode?: "shared" | "exclusive";
}

function keyLock(publicKey: string): NamedLock {
  return { name: `key:${publicKey}` };
}

/** Takes all in one order, so that two transactions wait for each other and never in a circle. */
async function lockInOrder(tx: Queryable, locks: readonly NamedLock[]): Promise<void> {
  const names = sql.param(locks.map(({ name }) => `ct-ops-ingest/${name}`));
  const orders = sql.param(locks.map(({ order = 1 }) => order));
  const modes = sql.param(locks.map(({ mode = "exclusive" }) => mode));
  await tx.execute(sql`
    select case mode when 'shared' then pg_advisory_xact_lock_shared(key) else pg_advisory_xact_lock(key) end
    from (
      select hashtextextended(name, 0) as key, mode
      from unnest(${names}::text[], ${orders}::int[], ${modes}::text[]) as l(name, ord, mode)
      order by ord, key
    ) as ordered`);
}
