import type { TLSSocket } from "node:tls";

/** A TLS handshake that failed. */
export interface HandshakeFailure {
  remoteAddress: string;
  /** Why, for the operator who has to find the machine. */
  reason: string;
}

const OLD_TLS = "no TLS version in common: the service takes 1.2 and later";
const NOT_ACCEPTED = "the client does not accept the server certificate";
const UNKNOWN_CA = "the client does not trust the CA of the server certificate";

/** What Node's and OpenSSL's codes mean here. */
const REASONS: Readonly<Record<string, string>> = {
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: UNKNOWN_CA,
  ERR_SSL_TLSV1_UNKNOWN_CA: UNKNOWN_CA,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: NOT_ACCEPTED,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: NOT_ACCEPTED,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "the server certificate has expired, by the client's clock",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: OLD_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: OLD_TLS,
  ERR_SSL_VERSION_TOO_LOW: OLD_TLS,
  ERR_SSL_NO_SHARED_CIPHER: "no cipher suite in common",
  ERR_SSL_NO_APPLICATION_PROTOCOL: "no protocol in common: the service speaks h2 and http/1.1 (ALPN)",
  ERR_SSL_HTTP_REQUEST: "plain HTTP: the port takes TLS",
  ERR_SSL_HTTPS_PROXY_REQUEST: "a request to a proxy: the port takes TLS",
  ERR_SSL_WRONG_VERSION_NUMBER: "no TLS: HTTP/2 without it, or the PROXY header of a balancer",
  ERR_TLS_HANDSHAKE_TIMEOUT: "the handshake was not ended in time",
};
const NO_ALPN = "no ALPN: the client speaks HTTP/2, and has to offer h2 in its handshake";
const HTTP2_PREFACE = "PRI * HTTP/2.0";
/** Balancers that check by connecting hang up at once: that is nothing to tell. */
const HUNG_UP = new Set(["ECONNRESET", "EPIPE"]);
const MAX_LENGTH = 200;

/** Whether the client spoke HTTP/1.1 without TLS. */
export function isPlainHttp({ code }: Error & { code?: string }): boolean {
  return code === "ERR_SSL_HTTP_REQUEST";
}

/** Why a handshake failed; undefined when the client hung up. */
export function describeHandshakeFailure(error: Error & { code?: string; reason?: string }): string | undefined {
  const { code = "", reason, message } = error;
  if (HUNG_UP.has(code)) return undefined;
  return REASONS[code] ?? reason ?? message.slice(0, MAX_LENGTH);
}

/**
 * Looks what comes first on a connection whose client offered no protocol (ALPN), and is taken for one of HTTP/1.1: one that
 * speaks HTTP/2 all the same gets an answer that it does not understand.
 *
 * @param tell why it cannot be understood
 */
export function watchForHttp2(socket: TLSSocket, tell: (reason: string) => void): void {
  if (socket.alpnProtocol) return;
  socket.once("data", (bytes: Buffer) => {
    if (bytes.toString("latin1", 0, HTTP2_PREFACE.length) === HTTP2_PREFACE) tell(NO_ALPN);
  });
  // With a listener the bytes come through the stream, which begins paused; without, the parser takes them from below it.
  socket.resume();
}
