import type { Socket } from "node:net";
import { canonicalAddress } from "../../lib/formats/cidr.js";

/**
 * The addresses of the other ends of connections: where a balancer says who it speaks for, that one's. TLS wraps a
 * connection into another object; what both have in common is where it comes from.
 */
export class Peers {
  readonly #behind = new Map<string, string>();

  /**
   * Says who is behind a connection, until that closes. An address has one form, or limits would take it for several:
   * balancers write all groups of an IPv6 address, and IPv4 as IPv6 where one end of a connection has that.
   */
  set(socket: Socket, address: string): void {
    const key = keyOf(socket);
    this.#behind.set(key, canonicalAddress(address));
    socket.once("close", () => this.#behind.delete(key));
  }

  /** An IP address, without port. The dual-stack listener shows IPv4 peers as IPv4-mapped IPv6 addresses. */
  addressOf(socket: Pick<Socket, "remoteAddress" | "remotePort">): string {
    return this.#behind.get(keyOf(socket)) ?? (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  }
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress} ${remotePort}`;
}
