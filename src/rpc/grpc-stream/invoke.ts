import type { ContextValues, HandlerContext, Interceptor, StreamRequest, StreamResponse } from "@connectrpc/connect";
import { toHeaders } from "./headers.js";
import type { Http2Request } from "./http2-stream.js";
import type { StreamMessage, StreamMethod } from "./stream-method.js";

/** What the interceptors and the implementation of a method are given. */
export interface Invocation {
  request: Http2Request;
  values: ContextValues;
  messages: AsyncIterable<StreamMessage>;
  /** Aborted when the call is over, whatever ended it. */
  signal: AbortSignal;
  remainingMs: () => number | undefined;
  /** What the implementation adds to the answer. */
  responseHeader: Headers;
  responseTrailer: Headers;
}

/** Calls the implementation of a method through the interceptors, the first one outermost, as Connect does. */
export async function invoke(
  { spec, interceptors }: StreamMethod,
  { request, values, messages, signal, remainingMs, responseHeader, responseTrailer }: Invocation,
): Promise<StreamResponse> {
  const { method, impl } = spec;
  const service = method.parent;
  let requestHeader: Headers | undefined;
  const call: StreamRequest = {
    stream: true,
    message: messages,
    method,
    service,
    requestMethod: request.method,
    url: request.url,
    signal,
    // Made when somebody looks: with most calls nobody does.
    get header() {
      requestHeader ??= toHeaders(request.headers);
      return requestHeader;
    },
    contextValues: values,
  };
  const implementation = async (called: Parameters<ReturnType<Interceptor>>[0]): Promise<StreamResponse> => {
    const context: HandlerContext = {
      method,
      service,
      signal: called.signal,
      timeoutMs: remainingMs,
      requestMethod: called.requestMethod,
      get requestHeader() {
        return called.header;
      },
      responseHeader,
      responseTrailer,
      protocolName: "grpc",
      values: called.contextValues,
      url: called.url,
    };
    const message = impl(called.message as AsyncIterable<StreamMessage>, context) as AsyncIterable<StreamMessage>;
    return { stream: true, message, method, service, header: responseHeader, trailer: responseTrailer };
  };
  const next = interceptors.reduceRight<ReturnType<Interceptor>>((inner, outer) => outer(inner), implementation);
  return (await next(call)) as StreamResponse;
}
