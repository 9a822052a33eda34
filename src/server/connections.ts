import type { ServerHttp2Session } from "node:http2";
import type { Server, Socket } from "node:net";

/** The open connections of a server, with those whose TLS handshake is not done, which the server does not tell of. */
export class Connections {
  readonly #open = new Set<Socket>();
  /** By their other end. */
  readonly #handshaking = new Map<string, Socket>();

  constructor(server: Server) {
    const forget = (socket: Socket) => {
      this.#open.delete(socket);
      const peer = peerOf(socket);
      if (this.#handshaking.get(peer) === socket) this.#handshaking.delete(peer);
    };
    // The same for all: one of its own would be kept for as long as a connection lasts.
    const onClose = function (this: Socket) {
      forget(this);
    };
    server.on("connection", (socket: Socket) => {
      this.#open.add(socket);
      this.#handshaking.set(peerOf(socket), socket);
      socket.on("close", onClose);
    });
    server.on("secureConnection", (socket: Socket) => this.#handshaking.delete(peerOf(socket)));
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  /** Cuts those that have not said anything that could be answered. */
  cutHandshaking(): void {
    for (const socket of this.#handshaking.values()) socket.destroy();
  }

  /** The connection beneath a session that has just begun; undefined when it is gone already. */
  beneath(session: ServerHttp2Session): Socket | undefined {
    // Node tells of a session before it tells that the handshake is done.
    return this.#handshaking.get(peerOf(session.socket));
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
