import type { InventoryTiming } from "../../store/hosts/host-inventories.js";
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
 * Knows when the inventory that an agent reports has to be looked at. One that is held back is not kept: the report after
 * it brings the newest one.
 */
export class InventoryPace {
  #stored: { digest: string | undefined; at: number } | undefined;

  constructor(
    private readonly timing: InventoryTiming,
    private readonly now: () => number,
  ) {}

  /** Whether the inventory with this digest may have to be written. */
  isDue(digest: string): boolean {
    if (this.#stored === undefined) return true;
    const ageMs = this.now() - this.#stored.at;
    const { inventoryPaceMs, inventoryRewriteMs } = this.timing;
    return ageMs >= (this.#stored.digest === digest ? inventoryRewriteMs : inventoryPaceMs);
  }

  /** Takes what became of the inventory with this digest. */
  settle(digest: string, { isStored, ageMs }: InventoryOutcome): void {
    this.#stored = { digest: isStored ? digest : undefined, at: this.now() - ageMs };
  }
}
