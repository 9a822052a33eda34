const FIRST_CAPACITY = 4 * 1024;
/** Every stream has a buffer, and most never put anything into it. */
const EMPTY = new Uint8Array(0);

/** Is told of bytes before room is made for them; throws when there is none. */
export interface ByteHolder {
  hold(bytes: number): void;
}

/**
 * Bytes that arrive in pieces. Pieces are copied, since they may be views on much larger buffers, and room is made for
 * what has arrived: what was announced may never come.
 */
export class GrowingBuffer {
  #bytes = EMPTY;
  #length = 0;

  constructor(private readonly holder: ByteHolder) {}

  get length(): number {
    return this.#length;
  }

  /** @param maxLength what it will never be longer than */
  append(piece: Uint8Array, maxLength: number): void {
    const length = this.#length + piece.length;
    if (length > this.#bytes.length) {
      const capacity = Math.min(maxLength, Math.max(FIRST_CAPACITY, 2 * this.#bytes.length, length));
      this.holder.hold(capacity - this.#bytes.length);
      const grown = new Uint8Array(capacity);
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }

  /** All that was appended; it is empty afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = EMPTY;
    this.#length = 0;
    return taken;
  }
}
