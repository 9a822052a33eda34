import type { ServerHttp2Session } from "node:http2";
import { waitPatiently } from "../lib/async/wait-patiently.js";

/** How idle sessions are looked after, in milliseconds. */
export interface SessionLivenessTiming {
  /** A session on which nothing came for so long is asked whether it lives. Agents ping every 30 s. */
  idleMs: number;
  /** It is cut when it has not answered after so long. */
  pingTimeoutMs: number;
}

const DEFAULT_TIMING: SessionLivenessTiming = { idleMs: 60_000, pingTimeoutMs: 10_000 };

/**
 * Cuts an HTTP/2 session that does not answer a ping. After a frame that is not allowed, nghttp2 sends GOAWAY and Node
 * stops reading: not even the end of the connection is seen, and each such frame would cost a descriptor for good. A
 * machine that lost its power, or its network, says nothing either. Only what comes counts: what is written to a peer
 * that is dead is taken by the kernel, for a quarter of an hour.
 */
export function cutWhenDead(session: ServerHttp2Session, timing: Partial<SessionLivenessTiming> = {}): void {
  const { idleMs, pingTimeoutMs } = { ...DEFAULT_TIMING, ...timing };
  const { socket } = session;
  let bytesBefore = socket.bytesRead;
  let stopWaiting: (() => void) | undefined;
  const look = setInterval(() => {
    // What belongs to a session cannot be looked at any more.
    if (session.destroyed || stopWaiting !== undefined) return;
    const isIdle = socket.bytesRead === bytesBefore;
    bytesBefore = socket.bytesRead;
    if (!isIdle) return;
    stopWaiting = waitPatiently(pingTimeoutMs, () => session.destroy());
    session.ping(() => {
      stopWaiting?.();
      stopWaiting = undefined;
      if (!session.destroyed) bytesBefore = socket.bytesRead;
    });
  }, idleMs);
  look.unref();
  session.on("close", () => {
    clearInterval(look);
    stopWaiting?.();
  });
}
