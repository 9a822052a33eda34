import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { type CallLabels, labelCall, REQUEST_ID_HEADER } from "../../observe/call-labels.js";
import type { Logger } from "../../observe/logger.js";
import { type CorsPolicy, corsHeaders } from "./cors.js";
import { endStreamWithAnswer } from "./end-with-answer.js";

/** A call as it comes on its stream of HTTP/2. */
export interface StreamRequest {
  stream: ServerHttp2Stream;
  headers: IncomingHttpHeaders;
  call: CallLabels;
  /** What its answer has among its headers besides its own. */
  answerHeaders: Record<string, string>;
  /** Told when it cannot be answered, which nobody waits for. */
  onFailure: (error: unknown) => void;
}

/** Finds who answers a call with these headers on its stream; nobody, when it is to be a request like others. */
export type StreamHandler = (headers: IncomingHttpHeaders) => ((request: StreamRequest) => void) | undefined;

/** What {@link answerStreams} needs. */
export interface AnswerStreamsOptions {
  handler: StreamHandler;
  cors?: CorsPolicy | undefined;
  logger: Logger;
}

/**
 * Hands calls to a handler before Node makes requests and responses of their streams, which take three kilobytes of each.
 * What the handler throws costs that one call, as with {@link guardRequests}. To be called when the server has its listener
 * for requests.
 */
export function answerStreams(server: Http2Server | Http2SecureServer, options: AnswerStreamsOptions): void {
  const { handler, cors, logger } = options;
  type Listener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => void;
  const [makeRequest] = server.listeners("stream") as [Listener];
  server.off("stream", makeRequest);
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    // Who expects something first is told by Node.
    const answer = headers.expect === undefined ? handler(headers) : undefined;
    if (answer === undefined) {
      makeRequest(stream, headers, ...more);
      return;
    }
    stream.on("error", ignore);
    endStreamWithAnswer(stream);
    const call = labelCall(headers.traceparent);
    const answerHeaders = {
      [REQUEST_ID_HEADER.toLowerCase()]: call.requestId,
      ...(cors && corsHeaders(cors, headers[":method"], headers)),
    };
    const path = headers[":path"]?.split("?", 1)[0]?.slice(0, 200);
    const onFailure = (error: unknown) => {
      // Whoever went away is not news, and needs no answer.
      const level = stream.destroyed ? "debug" : "error";
      logger[level]({ err: error, httpMethod: "POST", path, ...call }, "a request failed");
      if (stream.destroyed || stream.closed) return;
      if (stream.headersSent) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      else stream.respond({ ":status": 500, ...answerHeaders }, { endStream: true });
    };
    try {
      answer({ stream, headers, call, answerHeaders, onFailure });
    } catch (error) {
      onFailure(error);
    }
  });
}

function ignore(): void {}
