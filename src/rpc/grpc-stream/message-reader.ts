import type { ByteAccount } from "../../lib/bounds/byte-budget.js";
import { EnvelopeAssembler } from "../screening/envelope-assembler.js";
import { brokenOff } from "../screening/message-errors.js";
import type { MessageScreen } from "../screening/message-screen.js";
import type { Http2Stream } from "./http2-stream.js";

/** What a {@link MessageReader} reads with. */
export interface MessageReaderOptions<T> {
  stream: Http2Stream;
  /** Of one message. */
  maxBytes: number;
  screen: MessageScreen;
  /** Holds a message from its first byte until the next one is asked for. */
  account: ByteAccount;
  parse: (message: Uint8Array) => T;
}

/** Who waits for the next message. */
interface Reading<T> {
  resolve: (result: IteratorResult<T, undefined>) => void;
  reject: (error: unknown) => void;
}

/**
 * The messages of a call, out of its HTTP/2 stream. One is decoded when it is asked for, and bytes that arrive meanwhile
 * pause the stream: its sender is slowed down by flow control. A sender that waits for each answer never has its stream
 * paused, and costs nothing but the bytes.
 */
export class MessageReader<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  readonly #assembler: EnvelopeAssembler;
  /** What arrived while nobody asked for it. */
  readonly #pieces: Uint8Array[] = [];
  #reading: Reading<T> | undefined;
  #hasBegun = false;
  #hasEnded = false;
  #isDecompressing = false;
  #failure: { error: unknown } | undefined;

  constructor(private readonly options: MessageReaderOptions<T>) {
    this.#assembler = new EnvelopeAssembler(options.maxBytes, options.screen);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message; one is asked for at a time. */
  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      this.#reading = { resolve, reject };
      if (this.#hasBegun) this.options.account.release();
      else this.#begin();
      this.#advance();
    });
  }

  /** Makes the pending and every further {@link next} reject with this error; of several the first one counts. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#pieces.length = 0;
    const reading = this.#reading;
    this.#reading = undefined;
    reading?.reject(this.#failure.error);
  }

  #begin(): void {
    this.#hasBegun = true;
    if (this.#failure !== undefined) return;
    this.options.stream.on("end", () => this.#onEnd()).on("data", (piece: Uint8Array) => this.#onData(piece));
  }

  #onData(piece: Uint8Array): void {
    if (this.#failure !== undefined) return;
    if (this.#reading === undefined || this.#isDecompressing) {
      this.#pieces.push(piece);
      this.options.stream.pause();
    } else {
      // All that came before was taken.
      this.#assembler.push(piece);
      this.#advance();
    }
  }

  #onEnd(): void {
    // A stream that its sender resets ends as well: that is no end of what it had to say, and `close` tells of it.
    if (this.options.stream.aborted) return;
    this.#hasEnded = true;
    if (this.#reading !== undefined && !this.#isDecompressing) this.#advance();
  }

  /** Goes on until there is a message, or more bytes are needed. */
  #advance(): void {
    if (this.#failure !== undefined) {
      this.fail(this.#failure.error);
      return;
    }
    try {
      for (;;) {
        const envelope = this.#assembler.take();
        if (envelope !== undefined) {
          if (envelope.isCompressed) void this.#decompress(envelope.data);
          else this.#deliver(this.options.screen.admit(envelope.data));
          return;
        }
        const piece = this.#pieces.shift();
        if (piece === undefined) break;
        this.#assembler.push(piece);
      }
      if (!this.#hasEnded) this.#flow();
      else if (this.#assembler.isMidway) throw brokenOff();
      else this.#settle({ done: true, value: undefined });
    } catch (error) {
      this.fail(error);
    }
  }

  async #decompress(data: Uint8Array): Promise<void> {
    this.#isDecompressing = true;
    try {
      this.#deliver(await this.options.screen.admitCompressed(data));
    } catch (error) {
      this.fail(error);
    } finally {
      this.#isDecompressing = false;
    }
  }

  #deliver(message: Uint8Array): void {
    this.#settle({ done: false, value: this.options.parse(message) });
  }

  #settle(result: IteratorResult<T, undefined>): void {
    const reading = this.#reading;
    this.#reading = undefined;
    reading?.resolve(result);
  }

  #flow(): void {
    const { stream } = this.options;
    if (stream.isPaused()) stream.resume();
  }
}
