import { type Server as HttpServer, type IncomingMessage, ServerResponse, STATUS_CODES } from "node:http";
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Duplex } from "node:stream";

/** What Node's parser calls what is no request of HTTP/1.1; anything else is a 400. */
const STATUS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Why a request of HTTP/1.1 is not taken that is past a limit. */
export type MalformedReason = "headers too large" | "no request in time";

const REASONS: Readonly<Record<string, MalformedReason>> = {
  HPE_HEADER_OVERFLOW: "headers too large",
  ERR_HTTP_REQUEST_TIMEOUT: "no request in time",
};

/**
 * Answers what is no request of HTTP/1.1, and throws away what else comes, so that the answer can be read. Node would
 * destroy the connection right after it has written, and with it what is not encrypted yet; and a connection that is closed
 * while something has not been read is reset, which takes the answer from whoever has not read it yet.
 *
 * @param restMs how long that may take
 * @param onPastLimit is told of what is past a limit
 */
export function answerMalformed(
  server: HttpServer | Http2SecureServer,
  restMs: number,
  onPastLimit: (socket: Duplex, reason: MalformedReason) => void = () => {},
): void {
  const answers = new WeakMap<Duplex, ServerResponse>();
  server.on(
    "request",
    (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => {
      if (response instanceof ServerResponse) answers.set(request.socket, response);
    },
  );
  server.on("clientError", (error: Error & { code?: string }, socket: Duplex) => {
    // Nothing can be said before the handshake is done, and nothing waited for.
    if (error.code === "ERR_TLS_HANDSHAKE_TIMEOUT") {
      socket.destroy();
      return;
    }
    // It was answered, and this is what else came.
    if (socket.writableEnded && !socket.destroyed) return;
    const reason = REASONS[error.code ?? ""];
    if (reason !== undefined) onPastLimit(socket, reason);
    const last = answers.get(socket);
    if (!socket.writable || (last?.headersSent && !last.writableEnded)) {
      socket.destroy();
      return;
    }
    const status = STATUS[error.code ?? ""] ?? 400;
    // What belongs to a request that was answered gets no answer of its own.
    const isAnswered = last?.headersSent && !last.req.complete;
    socket.end(isAnswered ? "" : `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`);
    const cut = setTimeout(() => socket.destroy(), restMs);
    socket.once("close", () => clearTimeout(cut));
  });
}
