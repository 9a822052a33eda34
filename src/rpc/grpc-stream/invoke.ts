import type { ContextValues, HandlerContext, Interceptor, StreamRequest, StreamResponse } from "@connectrpc/connect";
import type { CallEnd } from "../call-end.js";
import { toHeaders } from "./headers.js";
import type { Http2Headers } from "./http2-stream.js";
import type { StreamMessage, StreamMethod } from "./stream-method.js";

/** What the interceptors and the implementation of a method are given. */
export interface Invocation {
  headers: Http2Headers;
  values: ContextValues;
  messages: AsyncIterable<StreamMessage>;
  end: CallEnd;
  remainingMs: () => number | undefined;
  /** What the implementation adds to the answer. */
  responseHeader: Headers;
  responseTrailer: Headers;
}

/** Calls the implementation of a method through the interceptors, the first one outermost, as Connect does. */
export async function invoke(
  { spec, interceptors }: StreamMethod,
  { headers, values, messages, end, remainingMs, responseHeader, responseTrailer }: Invocation,
): Promise<StreamResponse> {
  const { method, impl } = spec;
  const service = method.parent;
  let requestHeader: Headers | undefined;
  const call: StreamRequest = {
    stream: true,
    message: messages,
    method,
    service,
    requestMethod: headers[":method"] ?? "",
    url: headers[":path"] ?? "",
    // Both are made when somebody looks: with most calls nobody does.
    get signal() {
      return end.signal;
    },
    get header() {
      requestHeader ??= toHeaders(headers);
      return requestHeader;
    },
    contextValues: values,
  };
  const implementation = async (called: Parameters<ReturnType<Interceptor>>[0]): Promise<StreamResponse> => {
    const context: HandlerContext = {
      method,
      service,
      get signal() {
        return called.signal;
      },
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
