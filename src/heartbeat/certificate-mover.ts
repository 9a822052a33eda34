import { IngestError } from "../errors.js";
import type { AgentCas } from "../identity/agent-ca/agent-cas.js";
import type { HeartbeatEvents } from "./events.js";
import type { Session } from "./session.js";
import type { Sessions } from "./sessions.js";

const DAY_MS = 24 * 60 * 60 * 1000;

/** When and how fast a {@link CertificateMover} moves agents, in milliseconds. */
export interface CertificateMoverTiming {
  /** Between two sessions that are ended. Each costs a registration: this is ten a second. */
  paceMs: number;
  /** Between two looks at all sessions. */
  scanMs: number;
  /** An agent is moved when its certificate, or the CA behind it, is good for less than this. */
  horizonMs: number;
  /** Not sooner after a session was opened: an agent that came back with the same certificate is not chased. */
  minAgeMs: number;
}

const TIMING: CertificateMoverTiming = {
  paceMs: 100,
  scanMs: 5_000,
  horizonMs: 7 * DAY_MS,
  minAgeMs: 10 * 60 * 1000,
};

/** What a {@link CertificateMover} needs. */
export interface CertificateMoverOptions {
  sessions: Pick<Sessions, "open">;
  agentCa: Pick<AgentCas, "current" | "trustedUntil">;
  events: HeartbeatEvents;
  timing?: Partial<CertificateMoverTiming> | undefined;
}

/**
 * Moves agents to the CA that signs now. They move by themselves when they renew their certificate or register again;
 * but a stream may live for months, so those that would be late are helped: their stream ends with a status that makes
 * an installed agent register and take a new certificate. One at a time, because each of them costs a registration; the
 * most urgent first.
 */
export class CertificateMover {
  readonly #timing: CertificateMoverTiming;
  readonly #timer: NodeJS.Timeout;
  #due: Session[] = [];
  #scannedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: CertificateMoverOptions) {
    this.#timing = { ...TIMING, ...options.timing };
    this.#timer = setInterval(() => this.#moveOne(), this.#timing.paceMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #moveOne(): void {
    if (this.#due.length === 0) this.#scan();
    const { sessions, events } = this.options;
    for (let session = this.#due.pop(); session !== undefined; session = this.#due.pop()) {
      // What was due when it was scanned may have moved by itself.
      if (!sessions.open.has(session) || this.#urgency(session) === undefined) continue;
      const { issuerFingerprintSha256 } = session.certificate;
      events.sessionMoved({ ...session.key, issuerFingerprintSha256, ...session.call });
      session.end(
        new IngestError(
          "certificate_outdated",
          "the agent CA that issued the client certificate no longer signs; register again to obtain a new one",
        ),
      );
      return;
    }
  }

  #scan(): void {
    const now = performance.now();
    if (now - this.#scannedAt < this.#timing.scanMs) return;
    this.#scannedAt = now;
    this.#due = [...this.options.sessions.open]
      .map((session) => ({ session, urgency: this.#urgency(session) }))
      .filter((found): found is { session: Session; urgency: number } => found.urgency !== undefined)
      .sort((a, b) => b.urgency - a.urgency)
      .map(({ session }) => session);
  }

  /** For how long what the session was opened with is still good; undefined when it need not be moved. */
  #urgency({ certificate, ageMs }: Session): number | undefined {
    const { agentCa } = this.options;
    const { issuerFingerprintSha256, notAfter } = certificate;
    if (issuerFingerprintSha256 === agentCa.current.fingerprintSha256) return undefined;
    const until = agentCa.trustedUntil(issuerFingerprintSha256);
    // Nothing that was opened with it can be opened again.
    if (until === undefined) return 0;
    const remainingMs = Math.min(until.getTime(), notAfter.getTime()) - Date.now();
    return remainingMs < this.#timing.horizonMs && ageMs >= this.#timing.minAgeMs ? remainingMs : undefined;
  }
}
