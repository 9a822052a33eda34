import type { Http2SecureServer } from "node:http2";

/**
 * Has each connection keep the protocols that are offered (ALPN) in a buffer of its own. Node copies them for every
 * connection: out of bytes the copy is a piece of its pool of buffers, 8 KB of which stay for as long as that connection
 * does; out of any other view it is twelve bytes.
 */
export function keepAlpnApart(server: Http2SecureServer): void {
  const { ALPNProtocols: bytes } = server as { ALPNProtocols?: unknown };
  if (bytes instanceof Uint8Array)
    Object.assign(server, { ALPNProtocols: new DataView(Uint8Array.from(bytes).buffer) });
}
