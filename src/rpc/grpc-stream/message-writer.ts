import { type Compression, compressedFlag, encodeEnvelope } from "@connectrpc/connect/protocol";
import type { Http2Stream } from "./http2-stream.js";

/** Writes messages on an HTTP/2 stream, each in its envelope. */
export class MessageWriter {
  #onWritable: (() => void) | undefined;

  /**
   * @param compression what the caller takes, if it takes any
   * @param compressMinBytes from how many bytes on a message is compressed
   */
  constructor(
    private readonly stream: Http2Stream,
    private readonly compression: Compression | null,
    private readonly compressMinBytes: number,
  ) {}

  /** Whether nothing can be written any more. */
  get isOver(): boolean {
    return this.stream.destroyed || this.stream.closed;
  }

  /**
   * Writes a message. When that has to wait, for the caller to take what was written before or for the message to be
   * compressed, it returns a promise; it resolves also when the stream is over.
   */
  write(message: Uint8Array): Promise<void> | undefined {
    if (this.compression !== null && message.length >= this.compressMinBytes) {
      return this.#writeCompressed(message, this.compression);
    }
    return this.#writeEnvelope(0, message);
  }

  /** Ends the waiting of {@link write}: more can be written, or nothing any more. */
  wake(): void {
    this.#onWritable?.();
    this.#onWritable = undefined;
  }

  async #writeCompressed(message: Uint8Array, compression: Compression): Promise<void> {
    await this.#writeEnvelope(compressedFlag, await compression.compress(message));
  }

  #writeEnvelope(flags: number, data: Uint8Array): Promise<void> | undefined {
    if (this.isOver || this.stream.write(encodeEnvelope(flags, data))) return undefined;
    return new Promise((resolve) => {
      this.#onWritable = resolve;
      this.stream.once("drain", () => this.wake());
    });
  }
}
