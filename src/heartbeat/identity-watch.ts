import { agentNotAllowed, agentNotFound, IngestError } from "../errors.js";
import type { Queryable } from "../store/database.js";
import { findInvalidSessions, type InvalidSession } from "../store/session-validity.js";
import type { HeartbeatEvents } from "./events.js";
import type { Session, Sessions } from "./sessions.js";

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
 * Ends the sessions of agents that may not hold them any more: revoked, set back to pending, deleted, or with another
 * key or a revoked certificate. At once when a change is notified; a notification that was missed costs until the next
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
        const invalid = await findInvalidSessions(
          this.options.db,
          sessions.map((session) => session.credentials),
        );
        for (const found of invalid) {
          const session = sessions[found.index];
          session?.end(toError(session.key.agentId, found));
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

function toError(agentId: string, { status, certificateRevoked }: InvalidSession): IngestError {
  if (status === null) return agentNotFound(agentId);
  if (status !== "active" && status !== "offline") return agentNotAllowed(agentId, status);
  return certificateRevoked
    ? new IngestError("client_certificate_invalid", "the client certificate was revoked; register again")
    : new IngestError("identity_mismatch", "another key than this stream's is on record for its agent now");
}
