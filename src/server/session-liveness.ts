import type { ServerHttp2Session } from "node:http2";

/** How idle sessions are looked after, in milliseconds. */
export interface SessionLivenessTiming {
  /** A session on which nothing came for so long is asked whether it lives. Agents ping every 30 s. */
  idleMs: number;
  /** It is cut when it has not answered after so long. */
  pingTimeoutMs: number;
}

/** A timer that is as late as this shows that the process was held up. */
const HELD_UP_MS = 100;

const DEFAULT_TIMING: SessionLivenessTiming = { idleMs: 60_000, pingTimeoutMs: 10_000 };

/**
 * Cuts an HTTP/2 session that does not answer a ping. After a frame that is not allowed, nghttp2 sends GOAWAY and Node
 * stops reading: not even the end of the connection is seen, and each such frame would cost a descriptor for good. A
 * machine that lost its power, or its network, says nothing either. Only what comes counts: what is written to a peer
 * that is dead is taken by the kernel, for a quarter of an hour.
 *
 * When this process was held up, or stopped, while it waited, timers run before what came meanwhile is read: all that are
 * asked would be cut, whether or not they answered. They get as much time again, once.
 */
export function cutWhenDead(session: ServerHttp2Session, timing: Partial<SessionLivenessTiming> = {}): void {
  const { idleMs, pingTimeoutMs } = { ...DEFAULT_TIMING, ...timing };
  const { socket } = session;
  let bytesBefore = socket.bytesRead;
  let cut: NodeJS.Timeout | undefined;
  const look = setInterval(() => {
    // What belongs to a session cannot be looked at any more.
    if (session.destroyed || cut !== undefined) return;
    const isIdle = socket.bytesRead === bytesBefore;
    bytesBefore = socket.bytesRead;
    if (!isIdle) return;
    const dueAt = performance.now() + pingTimeoutMs;
    cut = setTimeout(() => {
      if (performance.now() - dueAt < HELD_UP_MS) session.destroy();
      else cut = setTimeout(() => session.destroy(), pingTimeoutMs);
    }, pingTimeoutMs);
    session.ping(() => {
      clearTimeout(cut);
      cut = undefined;
      if (!session.destroyed) bytesBefore = socket.bytesRead;
    });
  }, idleMs);
  look.unref();
  session.once("close", () => {
    clearInterval(look);
    clearTimeout(cut);
  });
}
