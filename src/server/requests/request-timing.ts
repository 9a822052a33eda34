import type { Server as HttpServer } from "node:http";
import type { Http2SecureServer } from "node:http2";

/** How long what a client sends may take, in milliseconds; whoever is slower loses its connection. */
export interface RequestTiming {
  /** A TLS handshake. */
  handshakeMs: number;
  /** The headers of a request of HTTP/1.1, from the moment the connection is open, and the first request of HTTP/2. */
  headersMs: number;
  /** A whole request of HTTP/1.1. */
  requestMs: number;
  /** Without a request, after the last one. */
  idleMs: number;
  /** The rest of a request of HTTP/1.1 that was answered before it ended. */
  restMs: number;
}

const DEFAULT_TIMING: RequestTiming = {
  handshakeMs: 30_000,
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 300_000,
  restMs: 5_000,
};
/** Node looks at the connections of HTTP/1.1 so often while a time-out lasts. */
const LOOKS_PER_TIMEOUT = 4;

/** What production needs, where nothing else is given. */
export function requestTiming(timing: Partial<RequestTiming> = {}): RequestTiming {
  return { ...DEFAULT_TIMING, ...timing };
}

/**
 * Bounds requests of HTTP/1.1, which Node gives five minutes: one that is not whole by then is answered 408, and its
 * connection closed. To be called before the server listens.
 */
export function boundRequests(server: HttpServer | Http2SecureServer, { headersMs, requestMs }: RequestTiming): void {
  Object.assign(server, {
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    // A server of HTTP/2 that also speaks HTTP/1.1 has none of its own, and would look every millisecond.
    connectionsCheckingInterval: Math.min(headersMs, requestMs) / LOOKS_PER_TIMEOUT,
  });
}
