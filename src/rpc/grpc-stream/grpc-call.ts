import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import { type Compression, compressionNegotiate } from "@connectrpc/connect/protocol";
import { contentTypeProto, headerAcceptEncoding } from "@connectrpc/connect/protocol-grpc";
import { GRPC_PROTOBUF } from "../screening/request-type.js";
import { type CallInput, openInput } from "./call-input.js";
import { startDeadline } from "./deadline.js";
import { headerOf } from "./headers.js";
import type { Http2Request, Http2Response, Http2Stream } from "./http2-stream.js";
import { invoke } from "./invoke.js";
import { MessageWriter } from "./message-writer.js";
import { toStatusTrailers } from "./status-trailer.js";
import type { StreamMessage, StreamMethod } from "./stream-method.js";

/** One call of a method with streams both ways, on its HTTP/2 stream. */
export class GrpcCall {
  readonly #stream: Http2Stream;
  readonly #input: CallInput;
  readonly #compression: Compression | null;
  readonly #writer: MessageWriter;
  readonly #over = new AbortController();
  #header = new Headers();
  #trailer = new Headers();

  constructor(
    private readonly method: StreamMethod,
    private readonly request: Http2Request,
    private readonly response: Http2Response,
    private readonly values: ContextValues,
  ) {
    const { stream, headers } = request;
    this.#stream = stream;
    this.#input = openInput(method, request);
    const accepted = headerOf(headers, GRPC_PROTOBUF.acceptEncodingHeader);
    this.#compression = compressionNegotiate(method.acceptCompression, null, accepted, headerAcceptEncoding).response;
    this.#writer = new MessageWriter(stream, this.#compression, method.compressMinBytes);
    stream.once("close", () => this.#onClosed());
  }

  /** Has the method answer; resolves when all of it is written, or the caller is gone. */
  async answer(): Promise<void> {
    const { messages, timeoutMs, release } = this.#input;
    const deadline = startDeadline(timeoutMs, (error) => this.#over.abort(error));
    let failure: unknown;
    try {
      const answer = await invoke(this.method, {
        request: this.request,
        values: this.values,
        messages,
        signal: this.#over.signal,
        remainingMs: deadline.remainingMs,
        responseHeader: this.#header,
        responseTrailer: this.#trailer,
      });
      this.#header = answer.header;
      await this.#writeAll(answer.message as AsyncIterable<StreamMessage>);
      this.#trailer = answer.trailer;
    } catch (error) {
      failure = error ?? new Error("the method failed without a reason");
    }
    deadline.clear();
    release();
    this.#over.abort(failure);
    this.#end(failure);
  }

  /** The stream is over, in order or not. */
  #onClosed(): void {
    const reason = new ConnectError(`the stream is over (HTTP/2 code ${this.#stream.rstCode})`, Code.Canceled);
    this.#over.abort(reason);
    this.#input.release();
    this.#input.messages.fail(reason);
    this.#writer.wake();
  }

  async #writeAll(messages: AsyncIterable<StreamMessage>): Promise<void> {
    const iterator = messages[Symbol.asyncIterator]();
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      try {
        const waiting = this.#write(next.value);
        if (waiting !== undefined) await waiting;
        if (this.#writer.isOver) throw this.#over.signal.reason;
      } catch (error) {
        // Whoever makes the messages learns that this one was not written.
        iterator.throw?.(error).catch(() => {});
        throw error;
      }
    }
  }

  #write(message: StreamMessage): Promise<void> | undefined {
    const bytes = this.method.serialize(message);
    this.#respond();
    return this.#writer.write(bytes);
  }

  /** Sends the headers, if they are not sent: with the first message, since until then the method may add some. */
  #respond(): void {
    if (this.#stream.headersSent || this.#writer.isOver) return;
    this.#stream.respond(
      {
        // What was set before the call: the request id, and what pages of other origins may have.
        ...this.response.getHeaders(),
        ":status": 200,
        ...Object.fromEntries(this.#header),
        "content-type": contentTypeProto,
        ...(this.#compression !== null && { "grpc-encoding": this.#compression.name }),
      },
      { waitForTrailers: true },
    );
  }

  #end(failure: unknown): void {
    if (this.#writer.isOver) return;
    this.#respond();
    // They are sent by Node's own listener, when all before them is written.
    this.response.addTrailers(Object.fromEntries(toStatusTrailers(this.#trailer, failure)));
    this.#stream.end();
  }
}
