import type { IncomingMessage } from "node:http";
import { constants, type Http2ServerRequest } from "node:http2";
import { TLSSocket } from "node:tls";
import type { Peers } from "./admission/peers.js";

/**
 * Tells, once a call is over, whether its caller took it back. When a connection breaks, Node closes its streams with the
 * same code that a caller sends who cancels; what tells them apart is whether the session lives.
 */
function watchCancellation(request: IncomingMessage | Http2ServerRequest): () => boolean {
  if (!("stream" in request)) return () => false;
  const { stream } = request;
  // A stream that was destroyed has forgotten its session.
  const { session } = stream;
  return () => stream.rstCode === constants.NGHTTP2_CANCEL && session?.destroyed === false;
}

/**
 * The other end of the TLS connection that a request came over. The certificate is as the client presented it, not
 * verified: `authorized` is not looked at, since a resumed session without a certificate reports true
 * (nodejs/node issue 35317).
 */
export function peerOf(
  request: IncomingMessage | Http2ServerRequest,
  peers: Peers,
): {
  address: string;
  certificateDer: Uint8Array | undefined;
  reset(): void;
  isCancelled(): boolean;
} {
  const socket = "stream" in request ? (request.stream.session?.socket ?? request.socket) : request.socket;
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  // Over HTTP/1.1 no call goes both ways, so none is held for long.
  const reset = "stream" in request ? () => request.stream.close(constants.NGHTTP2_CANCEL) : () => {};
  return {
    address: peers.addressOf(socket),
    certificateDer: certificate?.raw,
    reset,
    isCancelled: watchCancellation(request),
  };
}
