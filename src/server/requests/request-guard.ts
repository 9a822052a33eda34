import { type IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type CallLabels, labelCall, REQUEST_ID_HEADER } from "../../observe/call-labels.js";
import type { Logger } from "../../observe/logger.js";

/** A request of HTTP/2 or HTTP/1. */
export type Request = IncomingMessage | Http2ServerRequest;

/** The answer to it. */
export type Response = ServerResponse | Http2ServerResponse;

/** Handles one request; may throw and reject. */
export type RequestHandler<R extends Response = Response> = (
  request: Request,
  response: R,
  call: CallLabels,
) => Promise<void> | void;

/**
 * Makes a request listener out of a handler that may throw or reject. Node ends the process for what a listener throws,
 * for a rejection, and for an `error` event nobody listens to: whatever a client sends that nobody thought of would end
 * the streams of all agents. Here it costs that one request a 500. Each request gets its labels here, and its answer the
 * id among them.
 */
export function guardRequests<R extends Response>(handler: RequestHandler<R>, logger: Logger) {
  return async (request: Request, response: R): Promise<void> => {
    request.on("error", ignore);
    response.on("error", ignore);
    const call = labelCall(request.headers.traceparent);
    try {
      response.setHeader(REQUEST_ID_HEADER, call.requestId);
      request.url = toOriginForm(request.url);
      await handler(request, response, call);
    } catch (error) {
      // Whoever went away is not news, and needs no answer.
      const level = isGone(response) ? "debug" : "error";
      const path = request.url?.split("?", 1)[0]?.slice(0, 200);
      logger[level]({ err: error, httpMethod: request.method, path, ...call }, "a request failed");
      fail(response);
    }
  };
}

/**
 * Does for a server that listens what {@link guardRequests} does for a request.
 *
 * @param methods those of HTTP that are answered
 */
export function guardServer(server: Server, logger: Logger, methods: string): void {
  server.on("error", (error) => logger.warn({ err: error }, "a connection could not be accepted"));
  // A malformed frame can break a socket before HTTP/2 listens to it (CVE-2025-59465).
  server.on("connection", (socket: Socket) => socket.on("error", ignore));
  server.on("secureConnection", (socket: Socket) => socket.on("error", ignore));
  // Without it Node cuts a connection of HTTP/1 for this method, without an answer.
  server.on("connect", (_request: Request, answerer: Duplex | Http2ServerResponse) => {
    if ("writeHead" in answerer) answerer.writeHead(405, { Allow: methods }).end();
    else
      answerer
        .on("error", ignore)
        .end(`HTTP/1.1 405 Method Not Allowed\r\nAllow: ${methods}\r\nConnection: close\r\n\r\n`);
  });
}

/** Clients of a proxy name the whole URL; a server has to take that as well (RFC 9112, 3.2.2). */
function toOriginForm(target = ""): string {
  const [, rest] = /^https?:\/\/[^/?#]+([/?].*)?$/i.exec(target) ?? [target, target];
  return rest === undefined || rest.startsWith("?") ? `/${rest ?? ""}` : rest;
}

function ignore(): void {}

function isGone(response: Response): boolean {
  return response instanceof ServerResponse ? response.destroyed : (response.stream?.destroyed ?? true);
}

/** Answers 500, or cuts short an answer that has begun. */
function fail(response: Response): void {
  try {
    if (!response.headersSent) response.writeHead(500).end();
    else if (response instanceof ServerResponse) response.destroy();
    else response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  } catch {
    // It is gone.
  }
}
