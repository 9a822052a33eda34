import { type Server as HttpServer, type IncomingMessage, ServerResponse, STATUS_CODES } from "node:http";
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Duplex } from "node:stream";

/** What Node's parser calls what is no request of HTTP/1.1; anything else is a 400. */
const STATUS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Answers what is no request of HTTP/1.1, and throws away what else comes, so that the answer can be read. Node would
 * destroy the connection right after it has written, and with it what is not encrypted yet; and a connection that is closed
 * while something has not been read is reset, which takes the answer from whoever has not read it yet.
 *
 * @param restMs how long that may take
 */
export function answerMalformed(server: HttpServer | Http2SecureServer, restMs: number): void {
  const answers = new WeakMap<Duplex, ServerResponse>();
  server.on(
    "request",
    (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => {
      if (response instanceof ServerResponse) answers.set(request.socket, response);
    },
  );
  server.on("clientError", (error: Error & { code?: string }, socket: Duplex) => {
    // It was answered, and this is what else came.
    if (socket.writableEnded && !socket.destroyed) return;
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
