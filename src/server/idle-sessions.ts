import type { ServerHttp2Session } from "node:http2";
import { waitPatiently } from "../lib/async/wait-patiently.js";

/** How long an HTTP/2 session may be without a stream, in milliseconds. */
export interface IdleTiming {
  /** From its beginning on. */
  headersMs: number;
  /** After its last stream. */
  idleMs: number;
}

/** Why a session was closed. */
export type IdleReason = "no request in time" | "idle";

/**
 * Closes an HTTP/2 session that has no stream for too long: it is told to go away (GOAWAY), and a request that it sent in
 * that moment is one that was not begun, which clients send again elsewhere. Pings do not count: a client that has nothing
 * to say would hold its connection for good.
 */
export class IdleClosing {
  #streams = 0;
  /** Undefined while there are streams: a timer that is over would be kept for as long as they last. */
  #stopWaiting: (() => void) | undefined;

  constructor(
    private readonly session: ServerHttp2Session,
    private readonly timing: IdleTiming,
    private readonly onClosed: (session: ServerHttp2Session, reason: IdleReason) => void,
  ) {
    this.#wait(timing.headersMs, "no request in time");
  }

  streamOpened(): void {
    this.stop();
    this.#streams += 1;
  }

  streamClosed(): void {
    this.#streams -= 1;
    if (this.#streams === 0 && !this.session.destroyed) this.#wait(this.timing.idleMs, "idle");
  }

  stop(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
  }

  #wait(ms: number, reason: IdleReason): void {
    const { session } = this;
    this.#stopWaiting = waitPatiently(ms, () => {
      if (session.destroyed || session.closed) return;
      this.onClosed(session, reason);
      session.close();
    });
  }
}
