import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { waitPatiently } from "../lib/async/wait-patiently.js";

/**
 * Cuts an HTTP/2 session that does not answer a ping. After a frame that is not allowed, nghttp2 sends GOAWAY and Node
 * stops reading: not even the end of the connection is seen, and each such frame would cost a descriptor for good. A
 * machine that lost its power, or its network, says nothing either. Only what comes counts: what is written to a peer
 * that is dead is taken by the kernel, for a quarter of an hour.
 *
 * It is the connection that is cut. When it is reset between two writes, Node waits for the end of the second one for ever,
 * reads no more, and a session that is destroyed waits with it (nodejs/node issue 55804).
 */
export class SessionLiveness {
  #bytesBefore: number;
  /** While an answer is waited for. */
  #stopWaiting: (() => void) | undefined;

  /**
   * @param connection what is beneath the session
   * @param pingTimeoutMs it is cut when it has not answered after so long
   */
  constructor(
    private readonly session: ServerHttp2Session,
    private readonly connection: Socket | undefined,
    private readonly pingTimeoutMs: number,
  ) {
    this.#bytesBefore = session.socket.bytesRead;
  }

  /** Asks whether it lives, when nothing has come since the last look. */
  look(): void {
    const { session } = this;
    // By whomever: it would be closed by now.
    if (session.destroyed) this.connection?.destroy();
    // What belongs to a session that is over cannot be looked at any more.
    if (session.destroyed || this.#stopWaiting !== undefined) return;
    const { bytesRead } = session.socket;
    const isIdle = bytesRead === this.#bytesBefore;
    this.#bytesBefore = bytesRead;
    if (!isIdle) return;
    this.#stopWaiting = waitPatiently(this.pingTimeoutMs, () => {
      session.destroy();
      this.connection?.destroy();
    });
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
