import { IncomingMessage } from "node:http";
import { constants, Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Peers } from "./admission/peers.js";

/** The other end of the TLS connection that a call came over. */
class Peer {
  readonly address: string;
  /**
   * As the client presented it, DER, not verified: `authorized` is not looked at, since a resumed session without a
   * certificate reports true (nodejs/node issue 35317).
   */
  certificateDer: Uint8Array | undefined;

  constructor(socket: Socket, peers: Peers) {
    this.address = peers.addressOf(socket);
    this.certificateDer = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.raw : undefined;
  }

  /** Over HTTP/1.1 no call goes both ways, so none is held for long. */
  reset(): void {}

  isCancelled(): boolean {
    return false;
  }
}

/** That of a call on a stream of HTTP/2. */
class StreamPeer extends Peer {
  /** A stream that was destroyed has forgotten it. */
  readonly #session: ServerHttp2Session | undefined;

  constructor(
    private readonly stream: ServerHttp2Stream,
    socket: Socket,
    peers: Peers,
  ) {
    super(socket, peers);
    this.#session = stream.session as ServerHttp2Session | undefined;
  }

  override reset(): void {
    // Node keeps one that its client reset while the end of the answer waited to be written.
    if (this.stream.closed) this.stream.destroy();
    else this.stream.close(constants.NGHTTP2_CANCEL);
  }

  /**
   * When a connection breaks, Node closes its streams with the same code that a caller sends who cancels; what tells them
   * apart is whether the session lives.
   */
  override isCancelled(): boolean {
    return this.stream.rstCode === constants.NGHTTP2_CANCEL && this.#session?.destroyed === false;
  }
}

/** The other end of the connection that a request or a stream came over. */
export function peerOf(source: IncomingMessage | Http2ServerRequest | ServerHttp2Stream, peers: Peers): Peer {
  if (source instanceof IncomingMessage) return new Peer(source.socket, peers);
  const stream = source instanceof Http2ServerRequest ? source.stream : source;
  const socket = stream.session?.socket ?? (source as Http2ServerRequest).socket;
  return new StreamPeer(stream, socket, peers);
}
