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
import type { MessageLimits } from "../screening/message-screen.js";
import { shapeOf } from "../screening/message-shape.js";
import { GrpcCall } from "./grpc-call.js";
import type { Http2Stream, StreamHandler } from "./http2-stream.js";
import type { StreamMessage, StreamMethod, StreamMethodSpec } from "./stream-method.js";

/** What is served, and how. */
export interface GrpcStreamHandlerOptions<S extends DescService> extends ConnectRouterOptions {
  service: S;
  implementation: ServiceImpl<S>;
  limitsOf: (method: DescMethod) => MessageLimits;
  budgets: { stream: ByteBudget };
  contextValues?: (stream: Http2Stream, call: CallLabels) => ContextValues;
}

const CONTENT_TYPE = /^application\/grpc(\+proto)?$/i;

/**
 * Handles calls of methods with streams both ways, over gRPC with Protocol Buffers, on their streams of HTTP/2. Whatever else
 * a method can be called with is left to Connect.
 */
export function createGrpcStreamHandler<S extends DescService>(options: GrpcStreamHandlerOptions<S>): StreamHandler {
  const { service, implementation, contextValues = createContextValues } = options;
  const methods = new Map<string, StreamMethod>();
  for (const spec of Object.values(createServiceImplSpec(service, implementation).methods)) {
    if (spec.kind === "bidi_streaming") methods.set(createMethodUrl("/", spec.method), toStreamMethod(spec, options));
  }
  return (headers) => {
    if (headers[":method"] !== "POST" || !CONTENT_TYPE.test(headers["content-type"] ?? "")) return undefined;
    const method = methods.get(headers[":path"]?.split("?", 1)[0] ?? "");
    if (method === undefined) return undefined;
    return (request) => {
      const values = contextValues(request.stream, request.call);
      void new GrpcCall(method, request).begin(request.headers, values);
    };
  };
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
