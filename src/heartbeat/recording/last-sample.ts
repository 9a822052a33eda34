import type { Vitals } from "../../store/sessions/heartbeats.js";

/** What released agents wait between two samples. */
const DEFAULT_INTERVAL_MS = 30_000;

/** What one message measured: the vitals, and a digest of all else. */
export interface Sample extends Vitals {
  inventoryDigest: string;
}

/**
 * The sample that a session stored last. An agent that has results to hand over sends an extra message, with the sample
 * of its last regular one and a new time: that is no second sample. Values alone do not tell, since they may stay the
 * same for ever.
 */
export class LastSample {
  #last: { text: string; at: number } | undefined;

  /**
   * Whether a message that carries results repeats it: the same but for its time, and too early to be a regular one.
   *
   * @param intervalMs the agent's own; null when it is not known
   */
  isRepeatedBy(sample: Sample, at: Date, intervalMs: number | null): boolean {
    const halfInterval = (intervalMs ?? DEFAULT_INTERVAL_MS) / 2;
    return (
      this.#last !== undefined && at.getTime() - this.#last.at < halfInterval && textOf(sample) === this.#last.text
    );
  }

  /** It was stored. */
  remember(sample: Sample, at: Date): void {
    this.#last = { text: textOf(sample), at: at.getTime() };
  }
}

function textOf({ takenAtUnix: _, ...sample }: Sample): string {
  return JSON.stringify(sample);
}
