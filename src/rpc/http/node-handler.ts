import type { DescService } from "@bufbuild/protobuf";
import type { ContextValues } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { ByteBudget } from "../../lib/bounds/byte-budget.js";
import { Turns } from "../../lib/bounds/turns.js";
import type { CallLabels } from "../../observe/call-labels.js";
import { createGrpcStreamHandler } from "../grpc-stream/grpc-stream-handler.js";
import type { Http2Stream, StreamHandler } from "../grpc-stream/http2-stream.js";
import type { NodeHandler, NodeRequest, NodeResponse } from "../node-request.js";
import { type ConnectHandlerOptions, createConnectHandler } from "./connect-handler.js";

/** What is served, and how. */
export interface NodeHandlersOptions<S extends DescService>
  extends Omit<ConnectHandlerOptions<S>, "budgets" | "contextValues"> {
  /** What a call starts with; nothing unless given. */
  contextValues?: (source: NodeRequest | Http2Stream, call: CallLabels) => ContextValues;
  /** What the messages of streams take at one time that are being read or handled. */
  maxWaitingBytes?: number;
}

const DEFAULT_WAITING_BYTES = 64 * 1024 * 1024;
/**
 * Of that, beside it, for unary calls. They have a budget of their own: they are read before it is known who makes them, and
 * nobody is to take the room of the streams.
 */
const UNARY_SHARE = 1 / 2;

/** What a server hands its requests to. */
export interface NodeHandlers {
  /** For streams of HTTP/2, before they are made requests; it does not take all of them. */
  answerStream: StreamHandler;
  answer: NodeHandler;
}

/**
 * Serves a service on Node's HTTP servers: streams both ways over gRPC with our own handler (`grpc-stream/`), since that is
 * what agents hold all day, everything else with Connect's.
 */
export function createNodeHandlers<S extends DescService>({
  maxWaitingBytes = DEFAULT_WAITING_BYTES,
  ...options
}: NodeHandlersOptions<S>): NodeHandlers {
  const budgets = { unary: new ByteBudget(maxWaitingBytes * UNARY_SHARE), stream: new ByteBudget(maxWaitingBytes) };
  const shared = {
    acceptCompression: [compressionGzip, compressionBrotli],
    binaryOptions: { readUnknownFields: false },
    budgets,
    ...options,
  };
  const findStreamAnswer = createGrpcStreamHandler(shared);
  const answer = createConnectHandler(shared);
  const turns = new Turns();
  return {
    answerStream: (headers) => {
      const answerStream = findStreamAnswer(headers);
      if (answerStream === undefined) return undefined;
      return (request) => {
        const begin = () => {
          if (!request.stream.destroyed) answerStream(request);
        };
        turns.take().then(begin).catch(request.onFailure);
      };
    },
    answer: async (request, response, call) => {
      await turns.take();
      if (!isGone(response)) await answer(request, response, call);
    },
  };
}

function isGone(response: NodeResponse): boolean {
  // A response of HTTP/2 has no stream any more when that is destroyed.
  return "stream" in response ? (response.stream?.destroyed ?? true) : response.destroyed;
}
