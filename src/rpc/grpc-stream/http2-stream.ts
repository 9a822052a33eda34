import type { CallLabels } from "../../observe/call-labels.js";
import type { NodeRequest } from "../node-request.js";

type Http2Request = Extract<NodeRequest, { stream: unknown }>;

/** The stream of HTTP/2 that a call is made on. */
export type Http2Stream = Http2Request["stream"];

/** The headers of a request, as Node has them. */
export type Http2Headers = Http2Request["headers"];

/** A call as it comes. */
export interface StreamRequest {
  stream: Http2Stream;
  headers: Http2Headers;
  call: CallLabels;
  /** What its answer has among its headers besides its own: the request id, and what pages of other origins may have. */
  answerHeaders: Readonly<Record<string, string>>;
  /** Told when it cannot be answered, which nobody waits for. */
  onFailure: (error: unknown) => void;
}

/** Finds who answers a call with these headers; nobody, when it is not one of a stream over gRPC. */
export type StreamHandler = (headers: Http2Headers) => ((request: StreamRequest) => void) | undefined;
