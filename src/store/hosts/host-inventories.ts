import { sql } from "drizzle-orm";
import type { Transaction } from "../transaction.js";

/** What a machine has that changes seldom, as it is written. */
export interface HostInventory {
  /** JSON of what is merged into `hosts.metadata`. */
  metadata: string;
  /** Each once, in the form in which they are compared. */
  ipAddresses: string[];
  digest: string;
  /** Of the addresses alone. */
  addressesDigest: string;
}

/** When an inventory is written, in milliseconds, by the database's clock. */
export interface InventoryTiming {
  /** Least time between two writes of one host. */
  inventoryPaceMs: number;
  /** One that did not change is written again after this long. */
  inventoryRewriteMs: number;
}

/** What is to be done with the inventory that a host reports. */
export interface InventoryDecision {
  /** `held back`: it differs from what is stored, but that was written a moment ago. */
  state: "due" | "unchanged" | "held back";
  addressesChanged: boolean;
  /** How long ago what is stored was written. */
  ageMs: number;
}

/**
 * What is to be done with inventories of hosts that are locked. One whose addresses are not known is due at once: it is
 * new, or somebody else took it over.
 *
 * @returns by host id
 */
export async function decideInventories(
  tx: Transaction,
  reported: readonly { hostId: string; inventory: HostInventory }[],
  { inventoryPaceMs, inventoryRewriteMs }: InventoryTiming,
): Promise<Map<string, InventoryDecision>> {
  const { rows } = await tx.execute<{
    host_id: string;
    state: InventoryDecision["state"];
    addresses_changed: boolean;
    age_ms: number;
  }>(sql`
    select w.host_id,
           case when h.ip_addresses is null or i.host_id is null then 'due'
                when i.written_at <= now() - make_interval(secs => ${inventoryRewriteMs / 1000}) then 'due'
                when i.digest = w.digest then 'unchanged'
                when i.written_at <= now() - make_interval(secs => ${inventoryPaceMs / 1000}) then 'due'
                else 'held back' end as state,
           h.ip_addresses is null or i.addresses_digest is distinct from w.addresses_digest as addresses_changed,
           coalesce(extract(epoch from now() - i.written_at) * 1000, 0)::float8 as age_ms
    from unnest(
      ${sql.param(reported.map(({ hostId }) => hostId))}::text[],
      ${sql.param(reported.map(({ inventory }) => inventory.digest))}::text[],
      ${sql.param(reported.map(({ inventory }) => inventory.addressesDigest))}::text[]
    ) as w(host_id, digest, addresses_digest)
    join hosts h on h.id = w.host_id
    left join ingest.host_inventories i on i.host_id = w.host_id`);
  return new Map(
    rows.map((row) => [row.host_id, { state: row.state, addressesChanged: row.addresses_changed, ageMs: row.age_ms }]),
  );
}

/** Writes the inventories of hosts that are locked. */
export async function writeInventories(
  tx: Transaction,
  due: readonly { hostId: string; inventory: HostInventory }[],
): Promise<void> {
  const column = (of: (row: (typeof due)[number]) => string) => sql`${sql.param(due.map(of))}::text[]`;
  const hostIds = column(({ hostId }) => hostId);
  await tx.execute(sql`
    update hosts h
    set ip_addresses = w.ip_addresses::jsonb,
        metadata = coalesce(h.metadata, '{}') || w.metadata::jsonb
    from unnest(${hostIds}, ${column(({ inventory }) => JSON.stringify(inventory.ipAddresses))},
                ${column(({ inventory }) => inventory.metadata)}) as w(host_id, ip_addresses, metadata)
    where h.id = w.host_id`);
  await tx.execute(sql`
    insert into ingest.host_inventories (host_id, digest, addresses_digest)
    select * from unnest(${hostIds}, ${column(({ inventory }) => inventory.digest)},
                         ${column(({ inventory }) => inventory.addressesDigest)})
    on conflict (host_id) do update
      set digest = excluded.digest, addresses_digest = excluded.addresses_digest, written_at = now()`);
}
