import type { Queryable } from "../../store/database.js";
import type { SessionKey } from "../../store/sessions/agent-sessions.js";
import { forgetOldContests } from "../../store/sessions/contests.js";
import { adoptForeignSessions, findAbandonedSessions } from "../../store/sessions/session-ends.js";
import type { HeartbeatEvents } from "../events.js";
import type { Calm } from "./calm.js";
import type { OfflineWriter } from "./offline-writer.js";

/** What an {@link AbandonedSweep} needs. */
export interface AbandonedSweepOptions {
  db: Queryable;
  offlineWriter: OfflineWriter;
  calm: Calm;
  events: HeartbeatEvents;
  /** How long an agent may say nothing, in milliseconds. */
  silentForMs: number;
  /** Between two looks, in milliseconds; 10 seconds unless told otherwise. */
  sweepMs?: number | undefined;
}

const SWEEP_MS = 10_000;
const INSTANCE_GONE = "its instance ended, and it did not come back";

/**
 * Marks agents offline whose session no instance holds any more: it was killed, lost the database, or told them to come
 * back elsewhere and they did not. Their own silence has to confirm it; and neither after this instance's start, nor
 * after the database was away or this process stood still, is anybody swept before all had the time to come back.
 */
export class AbandonedSweep {
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  #sweeping = false;
  /** What is being written, by agent and epoch: a host that somebody holds may take minutes, and no other one waits for it. */
  readonly #underWay = new Set<string>();
  #hasTidied = false;

  constructor(private readonly options: AbandonedSweepOptions) {
    this.#timer = setInterval(() => void this.#sweep(), options.sweepMs ?? SWEEP_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Whether all agents had the time to come back. */
  get #hadTime(): boolean {
    const { calm, silentForMs } = this.options;
    return performance.now() - Math.max(this.#startedAt, calm.since) >= silentForMs;
  }

  async #sweep(): Promise<void> {
    const { db, events, silentForMs } = this.options;
    if (this.#sweeping || !this.#hadTime) return;
    this.#sweeping = true;
    try {
      if (!this.#hasTidied) {
        await forgetOldContests(db);
        this.#hasTidied = (await adoptForeignSessions(db)) === 0;
      }
      const found = await findAbandonedSessions(db, { silentForMs });
      // After a stall this may look first, and find what this very instance holds.
      if (!this.#hadTime) return;
      const closing = found.map((session) => this.#close(session));
      Promise.all(closing).catch((error: unknown) => events.sweepFailed({ error }));
    } catch (error) {
      events.sweepFailed({ error });
    } finally {
      this.#sweeping = false;
    }
  }

  async #close(session: SessionKey): Promise<void> {
    const { offlineWriter, silentForMs } = this.options;
    const name = `${session.agentId} ${session.epoch}`;
    if (this.#underWay.has(name)) return;
    this.#underWay.add(name);
    try {
      await offlineWriter.write({ ...session, reason: INSTANCE_GONE, silentForMs, staysOpen: false });
    } finally {
      this.#underWay.delete(name);
    }
  }
}
