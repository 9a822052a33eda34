import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import { type Compression, compressionNegotiate } from "@connectrpc/connect/protocol";
import { contentTypeProto, headerAcceptEncoding } from "@connectrpc/connect/protocol-grpc";
import type { ByteAccount } from "../../lib/bounds/byte-budget.js";
import { callEndKey } from "../call-end.js";
import { GRPC_PROTOBUF } from "../screening/request-type.js";
import { openInput } from "./call-input.js";
import { CallOver } from "./call-over.js";
import { type Deadline, startDeadline } from "./deadline.js";
import { headerOf } from "./headers.js";
import type { Http2Headers, Http2Stream, StreamRequest } from "./http2-stream.js";
import { invoke } from "./invoke.js";
import type { MessageReader } from "./message-reader.js";
import { MessageWriter } from "./message-writer.js";
import { toStatusTrailers } from "./status-trailer.js";
import type { StreamMessage, StreamMethod } from "./stream-method.js";

/**
 * One call of a method with streams both ways, on its HTTP/2 stream. Most of its life it waits for the next answer: no
 * function is under way then, since each would take half a kilobyte of every call.
 */
export class GrpcCall {
  readonly #stream: Http2Stream;
  readonly #messages: MessageReader<StreamMessage>;
  readonly #account: ByteAccount;
  readonly #compression: Compression | null;
  readonly #writer: MessageWriter;
  readonly #over = new CallOver();
  readonly #deadline: Deadline;
  readonly #onFailure: StreamRequest["onFailure"];
  /** What is sent with the first answer; undefined once it is. */
  #header: { ours: StreamRequest["answerHeaders"]; method: Headers } | undefined;
  /** What the method says at the end, also when it fails, and what the interceptors made of it. */
  readonly #methodTrailer = new Headers();
  #trailer = this.#methodTrailer;
  #answers: AsyncIterator<StreamMessage> | undefined;

  constructor(
    private readonly method: StreamMethod,
    { stream, headers, answerHeaders, onFailure }: StreamRequest,
  ) {
    this.#stream = stream;
    this.#onFailure = onFailure;
    this.#header = { ours: answerHeaders, method: new Headers() };
    const { messages, account, timeoutMs } = openInput(method, { stream, headers });
    this.#messages = messages;
    this.#account = account;
    const accepted = headerOf(headers, GRPC_PROTOBUF.acceptEncodingHeader);
    this.#compression = compressionNegotiate(method.acceptCompression, null, accepted, headerAcceptEncoding).response;
    this.#writer = new MessageWriter(stream, this.#compression, method.compressMinBytes);
    stream.on("close", () => this.#onClosed());
    this.#deadline = startDeadline(timeoutMs, (error) => this.#over.end(error));
  }

  /** Has the method answer; resolves when it has begun to. It goes on until all is written, or the caller is gone. */
  async begin(headers: Http2Headers, values: ContextValues): Promise<void> {
    try {
      const { header, message, trailer } = await invoke(this.method, {
        headers,
        values: values.set(callEndKey, this.#over),
        messages: this.#messages,
        end: this.#over,
        remainingMs: this.#deadline.remainingMs,
        responseHeader: this.#header?.method ?? new Headers(),
        responseTrailer: this.#methodTrailer,
      });
      if (this.#header !== undefined) this.#header.method = header;
      this.#trailer = trailer;
      this.#answers = (message as AsyncIterable<StreamMessage>)[Symbol.asyncIterator]();
      this.#next();
    } catch (error) {
      this.#fail(error);
    }
  }

  #next(): void {
    this.#answers?.next().then(this.#answer, this.#fail);
  }

  readonly #answer = async ({ done, value }: IteratorResult<StreamMessage>): Promise<void> => {
    if (done) {
      this.#finish(undefined);
      return;
    }
    try {
      const waiting = this.#write(value);
      if (waiting !== undefined) await waiting;
      if (this.#writer.isOver) throw this.#over.reason;
      this.#next();
    } catch (error) {
      this.#fail(error);
      // Whoever makes the messages learns that this one was not written.
      this.#answers?.throw?.(error).catch(() => {});
    }
  };

  readonly #fail = (error: unknown): void => this.#finish(error ?? new Error("the method failed without a reason"));

  /** The stream is over, in order or not. */
  #onClosed(): void {
    const reason = new ConnectError(`the stream is over (HTTP/2 code ${this.#stream.rstCode})`, Code.Canceled);
    this.#over.end(reason);
    this.#account.close();
    this.#messages.fail(reason);
    this.#writer.wake();
  }

  #write(message: StreamMessage): Promise<void> | undefined {
    const bytes = this.method.serialize(message);
    this.#respond();
    return this.#writer.write(bytes);
  }

  /** Sends the headers, if they are not sent: with the first message, since until then the method may add some. */
  #respond(): void {
    if (this.#header === undefined || this.#writer.isOver) return;
    const { ours, method } = this.#header;
    this.#header = undefined;
    this.#stream.respond(
      {
        ...ours,
        ":status": 200,
        ...Object.fromEntries(method),
        "content-type": contentTypeProto,
        ...(this.#compression !== null && { "grpc-encoding": this.#compression.name }),
      },
      { waitForTrailers: true },
    );
  }

  /** @param failure what it failed with; undefined when it did not */
  #finish(failure: unknown): void {
    this.#deadline.clear();
    this.#account.close();
    this.#over.end(failure);
    try {
      this.#end(failure);
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #end(failure: unknown): void {
    if (this.#writer.isOver) return;
    this.#respond();
    const said = failure === undefined ? this.#trailer : this.#methodTrailer;
    const trailers = Object.fromEntries(toStatusTrailers(said, failure));
    // Before whoever ends the stream when its trailers are sent.
    this.#stream.prependListener("wantTrailers", () => this.#sendTrailers(trailers));
    this.#stream.end();
  }

  #sendTrailers(trailers: Record<string, string>): void {
    try {
      this.#stream.sendTrailers(trailers);
    } catch (error) {
      this.#onFailure(error);
    }
  }
}
