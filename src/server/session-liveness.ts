import type { ServerHttp2Session } from "node:http2";

/** How idle sessions are looked after, in milliseconds. */
export interface SessionLivenessTiming {
  /** A session on which nothing came or went for so long is asked whether it lives. Agents ping every 30 s. */
  idleMs: number;
  /** It is cut when it has not answered after so long. */
  pingTimeoutMs: number;
}

const DEFAULT_TIMING: SessionLivenessTiming = { idleMs: 60_000, pingTimeoutMs: 10_000 };

/**
 * Cuts an HTTP/2 session that does not answer a ping. After a frame that is not allowed, nghttp2 sends GOAWAY and Node
 * stops reading: not even the end of the connection is seen, and each such frame would cost a descriptor for good.
 */
export function cutWhenDead(session: ServerHttp2Session, timing: Partial<SessionLivenessTiming> = {}): void {
  const { idleMs, pingTimeoutMs } = { ...DEFAULT_TIMING, ...timing };
  session.setTimeout(idleMs);
  session.on("timeout", () => {
    const cut = setTimeout(() => session.destroy(), pingTimeoutMs);
    session.ping((error) => {
      clearTimeout(cut);
      if (error === null) session.setTimeout(idleMs);
    });
  });
}
