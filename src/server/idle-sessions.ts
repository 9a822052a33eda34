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
export function closeWhenIdle(
  session: ServerHttp2Session,
  { headersMs, idleMs }: IdleTiming,
  onClosed: (reason: IdleReason) => void,
): void {
  let streams = 0;
  const wait = (ms: number, reason: IdleReason) =>
    waitPatiently(ms, () => {
      if (session.destroyed || session.closed) return;
      onClosed(reason);
      session.close();
    });
  let stopWaiting = wait(headersMs, "no request in time");
  session.on("stream", (stream) => {
    stopWaiting();
    // It would keep a timer that is over for as long as the stream lasts.
    stopWaiting = nothing;
    streams += 1;
    stream.on("close", () => {
      streams -= 1;
      if (streams === 0 && !session.destroyed) stopWaiting = wait(idleMs, "idle");
    });
  });
  session.on("close", () => stopWaiting());
}

function nothing(): void {}
