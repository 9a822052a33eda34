import type { ContextValues, Interceptor } from "@connectrpc/connect";
import { type CallEnd, callEndOf } from "../call-end.js";
import type { FailedCall, TranslateError } from "./error-translator.js";

/** Translates what calls fail with, and streams. */
export function createErrorInterceptor(translateError: TranslateError): Interceptor {
  return (next) => async (request) => {
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: new TranslatedStream(response.message, request, translateError) };
    } catch (error) {
      throw translateError(request, error);
    }
  };
}

/**
 * The messages of a stream, whose errors are translated. Without an async generator, since each message comes through here;
 * and of the request, which is large, it keeps only what an error takes, since a stream lasts for months.
 */
class TranslatedStream<T> implements AsyncIterable<T>, AsyncIterator<T>, FailedCall {
  readonly contextValues: ContextValues;
  readonly method: FailedCall["method"];
  readonly #end: CallEnd;
  readonly #messages: AsyncIterator<T>;

  constructor(
    messages: AsyncIterable<T>,
    request: FailedCall,
    private readonly translateError: TranslateError,
  ) {
    this.contextValues = request.contextValues;
    this.method = request.method;
    this.#end = callEndOf(request.contextValues, request);
    this.#messages = messages[Symbol.asyncIterator]();
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T>> {
    return this.#messages.next().catch(this.#fail);
  }

  async return(): Promise<IteratorResult<T>> {
    return this.#messages.return?.() ?? { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorResult<T>> {
    if (this.#messages.throw === undefined) throw error;
    return this.#messages.throw(error).catch(this.#fail);
  }

  readonly #fail = (error: unknown): never => {
    throw this.translateError(this, error);
  };
}
