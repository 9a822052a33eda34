import type { InventoryTiming } from "../../store/hosts/host-inventories.js";
import { type ClampedInventory, clampInventory, isSameInventory, type RawInventory } from "./host-inventory.js";
import type { InventoryOutcome } from "./record-inventories.js";

/**
 * The web app writes `hosts.metadata` back as it read it, which can undo what was written here: so an inventory that
 * did not change is written again after a quarter of an hour. One that changes is written once a minute at most.
 */
export const INVENTORY_TIMING: InventoryTiming = {
  inventoryPaceMs: 60 * 1000,
  inventoryRewriteMs: 15 * 60 * 1000,
};

/**
 * Knows when the inventory that an agent reports has to be looked at, which costs more than all else in a heartbeat. One
 * that is held back is not kept: the report after it brings the newest one.
 */
export class InventoryPace {
  /** `raw` and `digest` are those of what the database has; undefined when it has another one. */
  #stored: { raw: RawInventory | undefined; digest: string | undefined; at: number } | undefined;

  constructor(
    private readonly timing: InventoryTiming,
    private readonly now: () => Date,
  ) {}

  /** The inventory, if it may have to be written. */
  takeDue(raw: RawInventory): ClampedInventory | undefined {
    const stored = this.#stored;
    if (stored === undefined) return clampInventory(raw);
    const ageMs = this.now().getTime() - stored.at;
    const { inventoryPaceMs, inventoryRewriteMs } = this.timing;
    if (ageMs < inventoryRewriteMs) {
      if (ageMs < inventoryPaceMs) return undefined;
      if (stored.raw !== undefined && isSameInventory(stored.raw, raw)) {
        // The newest one is kept as the last sample in any case.
        stored.raw = raw;
        return undefined;
      }
      const clamped = clampInventory(raw);
      if (clamped.inventory.digest !== stored.digest) return clamped;
      // Another order, or beyond the bounds.
      stored.raw = raw;
      return undefined;
    }
    const clamped = clampInventory(raw);
    return clamped.inventory.digest === stored.digest || ageMs >= inventoryPaceMs ? clamped : undefined;
  }

  /** Takes what became of an inventory that was due. */
  settle(raw: RawInventory, digest: string, { isStored, ageMs }: InventoryOutcome): void {
    const at = this.now().getTime() - ageMs;
    this.#stored = isStored ? { raw, digest, at } : { raw: undefined, digest: undefined, at };
  }
}
