import { constants, type ServerHttp2Session } from "node:http2";

const PERIOD_MS = 10_000;

/**
 * Ends an HTTP/2 session whose client resets its streams by the hundred. Such a stream does not count any more for the
 * limit of streams at one time (CVE-2023-44487), nghttp2 takes a thousand of a connection before it minds, all of them in
 * one read, and each takes as long as a call that is begun.
 *
 * @param maxPerSecond on average over ten seconds: a client may give up all of its streams at once, and those that it opens
 * instead
 * @param onFlood is told when the session was ended
 */
export function cutWhenFlooding(session: ServerHttp2Session, maxPerSecond: number, onFlood: () => void): void {
  const maxResets = (maxPerSecond * PERIOD_MS) / 1_000;
  let resets = 0;
  let since = performance.now();
  session.on("stream", (stream) => {
    stream.on("close", () => {
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR || session.destroyed) return;
      const now = performance.now();
      if (now - since > PERIOD_MS) [resets, since] = [0, now];
      resets += 1;
      if (resets <= maxResets) return;
      onFlood();
      session.destroy();
    });
  });
}
