import type { ServerHttp2Session } from "node:http2";
import { waitPatiently } from "../lib/async/wait-patiently.js";

/**
 * Cuts an HTTP/2 session that does not answer a ping. After a frame that is not allowed, nghttp2 sends GOAWAY and Node
 * stops reading: not even the end of the connection is seen, and each such frame would cost a descriptor for good. A
 * machine that lost its power, or its network, says nothing either. Only what comes counts: what is written to a peer
 * that is dead is taken by the kernel, for a quarter of an hour.
 */
export class SessionLiveness {
  #bytesBefore: number;
  /** While an answer is waited for. */
  #stopWaiting: (() => void) | undefined;

  /** @param pingTimeoutMs it is cut when it has not answered after so long */
  constructor(
    private readonly session: ServerHttp2Session,
    private readonly pingTimeoutMs: number,
  ) {
    this.#bytesBefore = session.socket.bytesRead;
  }

  /** Asks whether it lives, when nothing has come since the last look. */
  look(): void {
    const { session } = this;
    // What belongs to a session that is over cannot be looked at any more.
    if (session.destroyed || this.#stopWaiting !== undefined) return;
    const { bytesRead } = session.socket;
    const isIdle = bytesRead === this.#bytesBefore;
    this.#bytesBefore = bytesRead;
    if (!isIdle) return;
    this.#stopWaiting = waitPatiently(this.pingTimeoutMs, () => session.destroy());
    session.ping(() => {
      this.stop();
      if (!session.destroyed) this.#bytesBefore = session.socket.bytesRead;
    });
  }

  stop(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
  }
}
