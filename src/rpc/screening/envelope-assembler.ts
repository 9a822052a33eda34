import { Code, ConnectError } from "@connectrpc/connect";
import { GrowingBuffer } from "./growing-buffer.js";
import { tooLarge } from "./message-errors.js";

/** A message out of its envelope. */
export interface Envelope {
  isCompressed: boolean;
  data: Uint8Array;
}

const HEADER_BYTES = 5;
const FLAG_COMPRESSED = 0x01;

/** Takes messages out of their envelopes, in whatever pieces these arrive. */
export class EnvelopeAssembler {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #length = 0;
  readonly #body: GrowingBuffer;
  #piece: Uint8Array = new Uint8Array(0);

  /**
   * @param maxBytes of one message, as it comes
   * @param hold is told of the bytes of a message before they are kept; throws when there is no room for them
   */
  constructor(
    private readonly maxBytes: number,
    private readonly hold: (bytes: number) => void,
  ) {
    this.#body = new GrowingBuffer(hold);
  }

  /** Whether a message has begun and not ended. */
  get isMidway(): boolean {
    return this.#headerBytes > 0;
  }

  /** Gives it the next piece. Every message in the one before must have been taken. */
  push(piece: Uint8Array): void {
    this.#piece = piece;
  }

  /**
   * The next message that is complete; undefined when a further piece is needed.
   *
   * @throws ConnectError INVALID_ARGUMENT for flags that nobody defined, RESOURCE_EXHAUSTED for too large a message
   */
  take(): Envelope | undefined {
    if (this.#headerBytes < HEADER_BYTES && !this.#takeHeader()) return undefined;
    const missing = this.#length - this.#body.length;
    let data: Uint8Array;
    if (this.#body.length === 0 && this.#piece.length >= missing) {
      this.hold(missing);
      data = this.#cut(missing);
    } else {
      this.#body.append(this.#cut(Math.min(missing, this.#piece.length)), this.#length);
      if (this.#body.length < this.#length) return undefined;
      data = this.#body.take();
    }
    this.#headerBytes = 0;
    return { isCompressed: this.#header[0] === FLAG_COMPRESSED, data };
  }

  #takeHeader(): boolean {
    const part = this.#cut(Math.min(HEADER_BYTES - this.#headerBytes, this.#piece.length));
    this.#header.set(part, this.#headerBytes);
    this.#headerBytes += part.length;
    if (this.#headerBytes < HEADER_BYTES) return false;
    const view = new DataView(this.#header.buffer);
    const flags = view.getUint8(0);
    if (flags !== 0 && flags !== FLAG_COMPRESSED) {
      throw new ConnectError(`malformed request: envelope flags ${flags} are not defined`, Code.InvalidArgument);
    }
    this.#length = view.getUint32(1);
    if (this.#length > this.maxBytes) throw tooLarge(this.maxBytes);
    return true;
  }

  #cut(bytes: number): Uint8Array {
    const part = this.#piece.subarray(0, bytes);
    this.#piece = this.#piece.subarray(bytes);
    return part;
  }
}
