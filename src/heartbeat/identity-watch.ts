import { sessionDisplaced } from "../errors.js";
import { findObjection } from "../identity/standing.js";
import type { Queryable } from "../store/database.js";
import { findDoubtfulSessions } from "../store/sessions/session-validity.js";
import type { HeartbeatEvents } from "./events.js";
import type { Session } from "./session.js";
import type { Sessions } from "./sessions.js";

const SCAN_INTERVAL_MS = 5_000;

/** What an {@link IdentityWatch} needs. */
export interface IdentityWatchOptions {
  db: Queryable;
  sessions: Sessions;
  events: HeartbeatEvents;
  /** How often every session is looked at, whatever was notified; 5 seconds unless told otherwise. */
  scanIntervalMs?: number;
}

/**
 * Ends the sessions of agents that may not hold them any more: revoked, set back to pending, deleted, with another key or
 * a revoked certificate, or with a newer session on another instance. At once when a change is notified; a notification that was missed costs until the next
 * scan. Either way what is on record is read, in one statement for all sessions concerned; while it runs, the next ones
 * gather.
 */
export class IdentityWatch {
  readonly #agentIds = new Set<string>();
  readonly #serials = new Set<string>();
  #everything = false;
  #checking = false;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly options: IdentityWatchOptions) {
    this.#timer = setInterval(() => this.checkEverything(), options.scanIntervalMs ?? SCAN_INTERVAL_MS);
    this.#timer.unref();
  }

  checkAgent(agentId: string): void {
    this.#agentIds.add(agentId);
    void this.#check();
  }

  checkCertificate(serial: string): void {
    this.#serials.add(serial);
    void this.#check();
  }

  checkEverything(): void {
    this.#everything = true;
    void this.#check();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    for (let sessions = this.#take(); sessions.length > 0; sessions = this.#take()) {
      try {
        const found = await findDoubtfulSessions(
          this.options.db,
          sessions.map((session) => session.credentials),
        );
        for (const { index, isDisplaced, ...standing } of found) {
          const session = sessions[index];
          const objection = session && findObjection(session.key.agentId, standing);
          if (objection !== undefined) session?.end(objection);
          else if (isDisplaced) session?.end(sessionDisplaced());
        }
      } catch (error) {
        // The next scan looks at all of them again.
        this.options.events.identityCheckFailed({ sessions: sessions.length, error });
      }
    }
    this.#checking = false;
  }

  /** The open sessions that are to be looked at now. */
  #take(): Session[] {
    const isDue = ({ credentials: { agentId, serial } }: Session) =>
      this.#everything || this.#agentIds.has(agentId) || this.#serials.has(serial);
    const due = [...this.options.sessions.open].filter(isDue);
    this.#everything = false;
    this.#agentIds.clear();
    this.#serials.clear();
    return due;
  }
}
