import {
  decideInventories,
  type HostInventory,
  type InventoryTiming,
  writeInventories,
} from "../../store/hosts/host-inventories.js";
import { findNetworksOf, replaceAutoAssignedMemberships } from "../../store/hosts/network-memberships.js";
import { type HeartbeatRow, newestOfEachHost } from "../../store/sessions/heartbeats.js";
import type { Transaction } from "../../store/transaction.js";

/** What became of an inventory that was reported. */
export interface InventoryOutcome {
  /** Whether the database has it; otherwise an earlier one stands there until the host reports again. */
  isStored: boolean;
  /** How long ago what stands there was written. */
  ageMs: number;
}

/**
 * Writes the inventories of hosts that are locked, where they are due, and puts the hosts into the networks that hold
 * their addresses.
 *
 * @returns what became of each, by host id
 */
export async function recordInventories(
  tx: Transaction,
  rows: readonly HeartbeatRow[],
  timing: InventoryTiming,
): Promise<ReadonlyMap<string, InventoryOutcome>> {
  const reported = newestOfEachHost(rows).filter(hasInventory);
  if (reported.length === 0) return new Map();
  const decisions = await decideInventories(tx, reported, timing);
  const due = reported.filter(({ hostId }) => decisions.get(hostId)?.state === "due");
  if (due.length > 0) await writeInventories(tx, due);
  const moved = due.filter(({ hostId }) => decisions.get(hostId)?.addressesChanged);
  if (moved.length > 0) {
    const networks = await findNetworksOf(
      tx,
      moved.map((row) => ({ ...row, ipAddresses: row.inventory.ipAddresses })),
    );
    await replaceAutoAssignedMemberships(
      tx,
      moved.map(({ hostId }) => hostId),
      networks,
    );
  }
  return new Map(
    [...decisions].map(([hostId, { state, ageMs }]) => [
      hostId,
      { isStored: state !== "held back", ageMs: state === "due" ? 0 : ageMs },
    ]),
  );
}

function hasInventory(row: HeartbeatRow): row is HeartbeatRow & { inventory: HostInventory } {
  return row.inventory !== null;
}
