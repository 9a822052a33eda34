import { create, type DescMethod, type DescService, isMessage } from "@bufbuild/protobuf";
import {
  type ConnectRouterOptions,
  type ContextValues,
  createContextValues,
  createServiceImplSpec,
  type ServiceImpl,
} from "@connectrpc/connect";
import {
  createMethodSerializationLookup,
  createMethodUrl,
  validateUniversalHandlerOptions,
} from "@connectrpc/connect/protocol";
import type { ByteBudget } from "../../lib/bounds/byte-budget.js";
import type { CallLabels } from "../../observe/call-labels.js";
import type { NodeRequest, NodeResponse } from "../node-request.js";
import type { MessageLimits } from "../screening/message-screen.js";
import { shapeOf } from "../screening/message-shape.js";
import { GrpcCall } from "./grpc-call.js";
import type { Http2Request, Http2Response } from "./http2-stream.js";
import type { StreamMessage, StreamMethod, StreamMethodSpec } from "./stream-method.js";

/** What is served, and how. */
export interface GrpcStreamHandlerOptions<S extends DescService> extends ConnectRouterOptions {
  service: S;
  implementation: ServiceImpl<S>;
  limitsOf: (method: DescMethod) => MessageLimits;
  budgets: { stream: ByteBudget };
  contextValues?: (request: NodeRequest, call: CallLabels) => ContextValues;
}

/** Answers a request of its own kind; undefined for any other. */
export type GrpcStreamHandler = (
  request: NodeRequest,
  response: NodeResponse,
  call: CallLabels,
) => Promise<void> | undefined;

const CONTENT_TYPE = /^application\/grpc(\+proto)?$/i;

/**
 * Handles calls of methods with streams both ways, over gRPC with Protocol Buffers on HTTP/2. Whatever else a method can be
 * called with is left to Connect.
 */
export function createGrpcStreamHandler<S extends DescService>(
  options: GrpcStreamHandlerOptions<S>,
): GrpcStreamHandler {
  const { service, implementation, contextValues = createContextValues } = options;
  const methods = new Map<string, StreamMethod>();
  for (const spec of Object.values(createServiceImplSpec(service, implementation).methods)) {
    if (spec.kind === "bidi_streaming") methods.set(createMethodUrl("/", spec.method), toStreamMethod(spec, options));
  }
  return (request, response, call) => {
    if (!isHttp2(request) || request.method !== "POST") return undefined;
    if (!CONTENT_TYPE.test(request.headers["content-type"] ?? "")) return undefined;
    const method = methods.get(request.url.split("?", 1)[0] ?? "");
    if (method === undefined) return undefined;
    return new GrpcCall(method, request, response as Http2Response, contextValues(request, call)).answer();
  };
}

function isHttp2(request: NodeRequest): request is Http2Request {
  return "stream" in request;
}

function toStreamMethod<S extends DescService>(
  spec: StreamMethodSpec,
  { limitsOf, budgets, ...options }: GrpcStreamHandlerOptions<S>,
): StreamMethod {
  const { method } = spec;
  const { interceptors, acceptCompression, compressMinBytes, binaryOptions, jsonOptions, ...limits } =
    validateUniversalHandlerOptions(options);
  const serialization = createMethodSerializationLookup(method, binaryOptions, jsonOptions, limits);
  const { serialize } = serialization.getO(true);
  const frozen = new WeakMap<StreamMessage, Uint8Array>();
  return {
    spec,
    interceptors,
    limits: limitsOf(method),
    shape: shapeOf(method.input),
    budget: budgets.stream,
    parse: serialization.getI(true).parse,
    serialize: (message) => {
      const known = frozen.get(message);
      if (known !== undefined) return known;
      const bytes = serialize(isMessage(message, method.output) ? message : create(method.output, message));
      if (Object.isFrozen(message)) frozen.set(message, bytes);
      return bytes;
    },
    acceptCompression,
    compressMinBytes,
  };
}
