import { isOutage } from "../../store/database.js";
import type { SessionKey } from "../../store/sessions/agent-sessions.js";
import type { HeartbeatEvents } from "../events.js";
import type { Calm } from "./calm.js";
import type { OfflineWriter } from "./offline-writer.js";

/** A session whose agent may fall silent. */
export interface WatchedSession {
  readonly key: SessionKey;
  /** How long its agent has said nothing while it was listened to, in milliseconds; 0 while it is not. */
  readonly silentMs: number;
  /** How long it may, in milliseconds. */
  readonly patienceMs: number;
  /** It is known to be silent; false again with its next message. */
  isKnownSilent: boolean;
}

/** What a {@link SilenceWatch} needs. */
export interface SilenceWatchOptions {
  sessions: { readonly open: Iterable<WatchedSession> };
  offlineWriter: OfflineWriter;
  calm: Calm;
  events: HeartbeatEvents;
  /** Between two looks, in milliseconds; 5 seconds unless told otherwise. */
  scanMs?: number | undefined;
}

const SCAN_MS = 5_000;
/** A look that comes so much too late shows that this process stood still. */
const STALL_MS = 1_000;

/**
 * Marks agents offline that say nothing, although their connection looks open: their stream stays, and their next
 * heartbeat brings them back. Looking costs no statement; only silence counts that fell into a time in which this
 * instance was listening.
 */
export class SilenceWatch {
  readonly #timer: NodeJS.Timeout;
  readonly #scanMs: number;
  #lookedAt = performance.now();

  constructor(private readonly options: SilenceWatchOptions) {
    this.#scanMs = options.scanMs ?? SCAN_MS;
    this.#timer = setInterval(() => this.#look(), this.#scanMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { sessions, calm } = this.options;
    const now = performance.now();
    // What agents sent meanwhile lies unread in their sockets.
    if (now - this.#lookedAt > 2 * this.#scanMs + STALL_MS) calm.reportStall(now);
    this.#lookedAt = now;
    for (const session of sessions.open) {
      if (!session.isKnownSilent && session.silentMs > session.patienceMs) void this.#markSilent(session);
    }
  }

  async #markSilent(session: WatchedSession): Promise<void> {
    const { offlineWriter, calm, events } = this.options;
    const { key, patienceMs } = session;
    session.isKnownSilent = true;
    const reason = `no heartbeat for ${Math.round(session.silentMs / 1000)} s`;
    try {
      await offlineWriter.write({ ...key, reason, silentForMs: patienceMs, staysOpen: true });
    } catch (error) {
      session.isKnownSilent = false;
      if (isOutage(error)) calm.reportTrouble();
      else events.closeFailed({ ...key, error });
    }
  }
}
