import type { Vitals } from "../../store/sessions/heartbeats.js";
import { isSameInventory, type RawInventory } from "../inventory/host-inventory.js";

/** What released agents wait between two samples. */
const DEFAULT_INTERVAL_MS = 30_000;

/** What one message measured. */
export interface Sample {
  vitals: Vitals;
  inventory: RawInventory;
}

/**
 * The sample that a session stored last. An agent that has results to hand over sends an extra message, with the sample
 * of its last regular one and a new time: that is no second sample. Values alone do not tell, since they may stay the
 * same for ever.
 */
export class LastSample {
  #sample: Sample | undefined;
  #at = 0;

  /**
   * Whether a message that carries results repeats it: the same but for its time, and too early to be a regular one.
   *
   * @param intervalMs the agent's own; null when it is not known
   */
  isRepeatedBy(sample: Sample, at: Date, intervalMs: number | null): boolean {
    const halfInterval = (intervalMs ?? DEFAULT_INTERVAL_MS) / 2;
    return this.#sample !== undefined && at.getTime() - this.#at < halfInterval && isSame(sample, this.#sample);
  }

  /** An inventory without what was reported with it: the one of the last sample while nothing changes, so that one is kept. */
  inventoryOf({ disks, networkInterfaces }: RawInventory): RawInventory {
    const inventory = { disks, networkInterfaces };
    const last = this.#sample?.inventory;
    return last !== undefined && isSameInventory(last, inventory) ? last : inventory;
  }

  /** It was stored. */
  remember(sample: Sample, at: Date): void {
    this.#sample = sample;
    this.#at = at.getTime();
  }
}

function isSame(one: Sample, other: Sample): boolean {
  const names = Object.keys(one.vitals) as (keyof Vitals)[];
  return (
    names.every((name) => name === "takenAtUnix" || one.vitals[name] === other.vitals[name]) &&
    isSameInventory(one.inventory, other.inventory)
  );
}
