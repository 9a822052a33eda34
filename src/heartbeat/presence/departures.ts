import { isOutage } from "../../store/database.js";
import type { SessionKey } from "../../store/sessions/agent-sessions.js";
import type { HeartbeatEvents } from "../events.js";
import type { Calm } from "./calm.js";
import type { OfflineWriter } from "./offline-writer.js";

/** Between two looks at whether the database is back. */
const LOOK_AGAIN_MS = 1_000;
/** Between two tries where the database refuses to be written. */
const TRY_AGAIN_MS = 1_000;

/** What {@link Departures} need. */
export interface DeparturesOptions {
  offlineWriter: OfflineWriter;
  calm: Calm;
  events: HeartbeatEvents;
}

/** How the stream of an agent ended. */
export interface StreamEnd {
  /** How long the agent may take to come back, in milliseconds. */
  graceMs: number;
  reason: string;
}

/**
 * Agents whose stream ended: each is marked offline once it had its time to come back, if the session is still its
 * current one then. Nothing is written for one that came back.
 */
export class Departures {
  #isLeaving = false;
  /** Those that wait, each to be woken. */
  readonly #waiting = new Set<() => void>();

  constructor(private readonly options: DeparturesOptions) {}

  /**
   * Resolves when the agent is marked offline, came back, or is left to other instances.
   *
   * @param isBack whether the agent opened a newer session here
   */
  async depart(key: SessionKey, { graceMs, reason }: StreamEnd, isBack: () => boolean): Promise<void> {
    const { offlineWriter, calm, events } = this.options;
    const now = performance.now();
    // Who says that it goes was there until now. Of a connection that broke nobody knows when: while this process stood
    // still, what its agent had sent before lay unread, and the end behind it.
    const goneSince = graceMs > 0 ? Number.NEGATIVE_INFINITY : now;
    let notBefore = now + graceMs;
    for (;;) {
      const waitMs = Math.max(notBefore, calm.earliestFor(goneSince)) - performance.now();
      if (waitMs > 0) {
        await this.#pause(Math.min(waitMs, calm.isAway ? LOOK_AGAIN_MS : Number.POSITIVE_INFINITY));
        if (this.#isLeaving) return;
        continue;
      }
      if (isBack()) return;
      try {
        await offlineWriter.write({ ...key, reason, silentForMs: null, staysOpen: false });
        return;
      } catch (error) {
        if (isOutage(error)) calm.reportTrouble();
        else events.closeFailed({ ...key, error });
        if (this.#isLeaving) return;
        notBefore = performance.now() + TRY_AGAIN_MS;
      }
    }
  }

  /** Waits for nobody any more: who does not come back elsewhere is found by the other instances. */
  leaveToOthers(): void {
    this.#isLeaving = true;
    for (const wake of this.#waiting) wake();
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, durationMs);
      timer.unref();
      this.#waiting.add(wake);
      if (this.#isLeaving) wake();
    });
  }
}
