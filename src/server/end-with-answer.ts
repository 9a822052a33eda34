import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";

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
    const { stream } = request;
    // Trailers are sent while this event is handled; a stream that is closed earlier loses them.
    stream.once("wantTrailers", () => {
      setImmediate(() => {
        if (stream.readableEnded) return;
        stream.close(constants.NGHTTP2_NO_ERROR);
        // What has arrived and nobody reads would keep the stream, and with it the connection, also of a client that left.
        stream.destroy();
      });
    });
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
