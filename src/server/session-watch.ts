import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { IdleClosing, type IdleReason, type IdleTiming } from "./idle-sessions.js";
import { SessionLiveness } from "./session-liveness.js";
import { ResetCount } from "./stream-flood.js";

/** How it is found that a session is dead, in milliseconds. */
export interface SessionLivenessTiming {
  /** A session on which nothing came for so long is asked whether it lives. Agents ping every 30 s. */
  idleMs: number;
  /** It is cut when it has not answered after so long. */
  pingTimeoutMs: number;
}

/** What the sessions of a listener are kept to. */
export interface SessionWatchOptions {
  liveness?: Partial<SessionLivenessTiming> | undefined;
  idle: IdleTiming;
  maxResetsPerSecond: number;
  /** Told of each session that is ended for what its client does, or does not. */
  onEnded: (session: ServerHttp2Session, reason: IdleReason | "too many resets") => void;
}

const LIVENESS: SessionLivenessTiming = { idleMs: 60_000, pingTimeoutMs: 10_000 };
/** So many times in that period some of the sessions are looked at, so that not all are asked at once. */
const LOOKS = 30;

/** The HTTP/2 sessions of a listener, and what ends them: one timer for all of them, and two listeners of each. */
export class SessionWatch {
  /** The one that is to be looked at next comes first. */
  readonly #open = new Set<WatchedSession>();
  readonly #lookEveryMs: number;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly options: SessionWatchOptions) {
    this.#lookEveryMs = options.liveness?.idleMs ?? LIVENESS.idleMs;
    this.#timer = setInterval(() => this.#look(), this.#lookEveryMs / LOOKS).unref();
  }

  /**
   * Watches a session until it is closed.
   *
   * @param connection what is beneath it
   */
  add(session: ServerHttp2Session, connection: Socket | undefined): void {
    const watched = new WatchedSession(session, connection, this.options);
    watched.lookAt = performance.now() + this.#lookEveryMs;
    this.#open.add(watched);
    session.on("close", () => {
      this.#open.delete(watched);
      watched.stop();
    });
  }

  /** Tells all clients to go away (GOAWAY); what is under way goes on. */
  close(): void {
    for (const { session } of this.#open) session.close();
  }

  /** Looks at no session any more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    for (const watched of this.#open) {
      if (watched.lookAt > now) return;
      watched.liveness.look();
      watched.lookAt = now + this.#lookEveryMs;
      // To the end of the order.
      this.#open.delete(watched);
      this.#open.add(watched);
    }
  }
}

class WatchedSession {
  lookAt = 0;
  readonly liveness: SessionLiveness;
  readonly #idle: IdleClosing;
  readonly #resets: ResetCount;

  constructor(
    readonly session: ServerHttp2Session,
    connection: Socket | undefined,
    private readonly options: SessionWatchOptions,
  ) {
    const { liveness, idle, maxResetsPerSecond, onEnded } = options;
    this.liveness = new SessionLiveness(session, connection, liveness?.pingTimeoutMs ?? LIVENESS.pingTimeoutMs);
    this.#idle = new IdleClosing(session, idle, onEnded);
    this.#resets = new ResetCount(maxResetsPerSecond);
    session.on("stream", (stream) => this.#watch(stream));
  }

  stop(): void {
    this.liveness.stop();
    this.#idle.stop();
  }

  #watch(stream: ServerHttp2Stream): void {
    this.#idle.streamOpened();
    stream.on("close", () => {
      this.#idle.streamClosed();
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR || this.session.destroyed || !this.#resets.isFlood()) return;
      this.options.onEnded(this.session, "too many resets");
      this.session.destroy();
    });
  }
}
