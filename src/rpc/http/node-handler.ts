import type { DescService } from "@bufbuild/protobuf";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { ByteBudget } from "../../lib/bounds/byte-budget.js";
import { Turns } from "../../lib/bounds/turns.js";
import { createGrpcStreamHandler } from "../grpc-stream/grpc-stream-handler.js";
import type { NodeHandler, NodeResponse } from "../node-request.js";
import { type ConnectHandlerOptions, createConnectHandler } from "./connect-handler.js";

/** What is served, and how. */
export interface NodeHandlerOptions<S extends DescService> extends Omit<ConnectHandlerOptions<S>, "budgets"> {
  /** What the messages of streams take at one time that are being read or handled. */
  maxWaitingBytes?: number;
}

const DEFAULT_WAITING_BYTES = 64 * 1024 * 1024;
/**
 * Of that, beside it, for unary calls. They have a budget of their own: they are read before it is known who makes them, and
 * nobody is to take the room of the streams.
 */
const UNARY_SHARE = 1 / 2;

/**
 * Serves a service on Node's HTTP servers: streams both ways over gRPC with our own handler (`grpc-stream/`), since that is
 * what agents hold all day, everything else with Connect's.
 */
export function createNodeHandler<S extends DescService>({
  maxWaitingBytes = DEFAULT_WAITING_BYTES,
  ...options
}: NodeHandlerOptions<S>): NodeHandler {
  const budgets = { unary: new ByteBudget(maxWaitingBytes * UNARY_SHARE), stream: new ByteBudget(maxWaitingBytes) };
  const shared = {
    acceptCompression: [compressionGzip, compressionBrotli],
    binaryOptions: { readUnknownFields: false },
    budgets,
    ...options,
  };
  const answerStream = createGrpcStreamHandler(shared);
  const answer = createConnectHandler(shared);
  const turns = new Turns();
  return async (request, response, call) => {
    await turns.take();
    if (isGone(response)) return;
    await (answerStream(request, response, call) ?? answer(request, response, call));
  };
}

function isGone(response: NodeResponse): boolean {
  // A response of HTTP/2 has no stream any more when that is destroyed.
  return "stream" in response ? (response.stream?.destroyed ?? true) : response.destroyed;
}
