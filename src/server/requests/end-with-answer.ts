import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";

/** How often it is looked whether trailers were sent that had to wait for what was being written. */
const LOOK_INTERVAL_MS = 20;

/**
 * Lets a request end when it is answered, also one whose sender has more to say. On HTTP/2 the stream is reset with
 * NO_ERROR after the trailers (RFC 9113, section 8.1), as servers of gRPC do; otherwise it would stay for as long as its
 * sender likes. On HTTP/1.1 the rest is read and thrown away, so that the answer can be read and the connection used.
 *
 * @param restMs how long that may take
 */
export function endWithAnswer(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  restMs: number,
): void {
  if ("stream" in request) {
    endStreamWithAnswer(request.stream);
    return;
  }
  response.once("finish", () => {
    if (request.complete) return;
    // Whoever began to read, and stopped, would keep it from flowing.
    request.removeAllListeners("readable");
    request.resume();
    const cut = setTimeout(() => request.socket.destroy(), restMs);
    request.once("close", () => clearTimeout(cut));
  });
}

/** Does the same for a stream of HTTP/2 that is answered without a response of Node's. */
export function endStreamWithAnswer(stream: ServerHttp2Stream): void {
  stream.on("wantTrailers", endAfterTrailers);
  stream.on("aborted", destroySoon);
}

/**
 * A stream that its client resets with NO_ERROR would be kept by Node until all of it is read and written: for as long as
 * the connection lasts where nobody reads it, and streams of that kind count for no limit.
 */
function destroySoon(this: ServerHttp2Stream): void {
  setImmediate(() => this.destroy());
}

/** Node gives the trailers to nghttp2 with an immediate of its own, which was asked for before this one. */
function endAfterTrailers(this: ServerHttp2Stream): void {
  setImmediate(endRequest, this);
}

/**
 * Ends a request whose trailers nghttp2 has. While they wait for what is being written, a reset would not wait behind them:
 * nghttp2 sends nothing any more of a stream that is to be reset, and the caller would see no status.
 */
function endRequest(stream: ServerHttp2Stream): void {
  if (stream.destroyed) return;
  const { localClose, remoteClose } = stream.state;
  if (localClose === 0) {
    setTimeout(endRequest, LOOK_INTERVAL_MS, stream);
    return;
  }
  // What has arrived and nobody reads would keep the stream, and with it the connection, also of a client that left.
  stream.removeAllListeners("data");
  stream.resume();
  if (remoteClose === 0) stream.close(constants.NGHTTP2_NO_ERROR);
}
