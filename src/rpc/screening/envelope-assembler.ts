import { Code, ConnectError } from "@connectrpc/connect";
import { type ByteHolder, GrowingBuffer } from "./growing-buffer.js";
import { tooLarge } from "./message-errors.js";

/** A message out of its envelope. */
export interface Envelope {
  isCompressed: boolean;
  data: Uint8Array;
}

const HEADER_BYTES = 5;
const FLAG_COMPRESSED = 0x01;
const EMPTY = new Uint8Array(0);

/** Takes messages out of their envelopes, in whatever pieces these arrive. */
export class EnvelopeAssembler {
  /** Of its header. */
  #headerBytes = 0;
  #flags = 0;
  #length = 0;
  readonly #body: GrowingBuffer;
  /** The newest piece, for as long as there is something in it that was not taken. */
  #piece: Uint8Array = EMPTY;
  #taken = 0;

  /**
   * @param maxBytes of one message, as it comes
   * @param holder is told of the bytes of a message before they are kept
   */
  constructor(
    private readonly maxBytes: number,
    private readonly holder: ByteHolder,
  ) {
    this.#body = new GrowingBuffer(holder);
  }

  /** Whether a message has begun and not ended. */
  get isMidway(): boolean {
    return this.#headerBytes > 0;
  }

  /** Gives it the next piece. Every message in the one before must have been taken. */
  push(piece: Uint8Array): void {
    this.#piece = piece;
    this.#taken = 0;
  }

  /**
   * The next message that is complete; undefined when a further piece is needed.
   *
   * @throws ConnectError INVALID_ARGUMENT for flags that nobody defined, RESOURCE_EXHAUSTED for too large a message
   */
  take(): Envelope | undefined {
    if (this.#headerBytes < HEADER_BYTES && !this.#takeHeader()) return undefined;
    const missing = this.#length - this.#body.length;
    const left = this.#piece.length - this.#taken;
    let data: Uint8Array;
    if (this.#body.length === 0 && left >= missing) {
      this.holder.hold(missing);
      data = this.#cut(missing);
    } else {
      this.#body.append(this.#cut(Math.min(missing, left)), this.#length);
      if (this.#body.length < this.#length) return undefined;
      data = this.#body.take();
    }
    this.#headerBytes = 0;
    return { isCompressed: this.#flags === FLAG_COMPRESSED, data };
  }

  #takeHeader(): boolean {
    while (this.#headerBytes < HEADER_BYTES) {
      const byte = this.#piece[this.#taken];
      if (byte === undefined) return false;
      this.#taken += 1;
      if (this.#headerBytes === 0) [this.#flags, this.#length] = [byte, 0];
      else this.#length = this.#length * 256 + byte;
      this.#headerBytes += 1;
    }
    if (this.#flags !== 0 && this.#flags !== FLAG_COMPRESSED) {
      throw new ConnectError(`malformed request: envelope flags ${this.#flags} are not defined`, Code.InvalidArgument);
    }
    if (this.#length > this.maxBytes) throw tooLarge(this.maxBytes);
    return true;
  }

  #cut(bytes: number): Uint8Array {
    const part = this.#piece.subarray(this.#taken, this.#taken + bytes);
    this.#taken += bytes;
    if (this.#taken === this.#piece.length) this.push(EMPTY);
    return part;
  }
}
