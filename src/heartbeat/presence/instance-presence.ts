import type { Queryable } from "../../store/database.js";
import {
  forgetGoneInstances,
  type InstanceRecord,
  markInstanceDraining,
  removeInstance,
  renewInstance,
} from "../../store/sessions/instances.js";
import type { HeartbeatEvents } from "../events.js";
import type { Calm } from "./calm.js";

/** How an instance shows that it runs, in milliseconds. */
export interface InstancePresenceTiming {
  /** Between two renewals of its row. */
  renewMs: number;
  /** The same while the database is away. */
  retryMs: number;
  /** A renewal that comes so much too late shows that the process stood still. */
  stallMs: number;
}

const TIMING: InstancePresenceTiming = { renewMs: 5_000, retryMs: 500, stallMs: 5_000 };

/** What an {@link InstancePresence} needs. */
export interface InstancePresenceOptions {
  db: Queryable;
  instance: InstanceRecord;
  calm: Calm;
  events: HeartbeatEvents;
  timing?: Partial<InstancePresenceTiming> | undefined;
}

/**
 * Shows the other instances that this one runs, by one statement every few seconds, and tells {@link Calm} how the
 * database and this process fare meanwhile.
 */
export class InstancePresence {
  readonly #timing: InstancePresenceTiming;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #isStopped = false;

  private constructor(private readonly options: InstancePresenceOptions) {
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** Shows that the instance runs, from now on. */
  static async open(options: InstancePresenceOptions): Promise<InstancePresence> {
    const presence = new InstancePresence(options);
    await renewInstance(options.db, options.instance);
    await forgetGoneInstances(options.db);
    presence.#schedule();
    return presence;
  }

  /** Says that the instance takes no sessions any more. */
  async startDraining(): Promise<void> {
    await markInstanceDraining(this.options.db, this.options.instance.id);
  }

  /** Takes its row away: what is left of its sessions is for the others. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#renewing;
    // A row that stays is passed over when it is old.
    await removeInstance(this.options.db, this.options.instance.id).catch((error) =>
      this.options.events.presenceFailed({ error }),
    );
  }

  #schedule(): void {
    const { renewMs, retryMs, stallMs } = this.#timing;
    const delayMs = this.options.calm.isAway ? retryMs : renewMs;
    const dueAt = performance.now() + delayMs;
    this.#timer = setTimeout(() => {
      if (performance.now() - dueAt > stallMs) this.options.calm.reportStall();
      this.#renewing = this.#renew();
    }, delayMs);
    this.#timer.unref();
  }

  async #renew(): Promise<void> {
    const { db, instance, calm, events } = this.options;
    const askedAt = performance.now();
    try {
      await renewInstance(db, instance);
      calm.reportAnswer(askedAt);
    } catch (error) {
      calm.reportTrouble();
      events.presenceFailed({ error });
    }
    if (!this.#isStopped) this.#schedule();
  }
}
