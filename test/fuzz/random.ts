/** Random choices that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to below this one. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  /** Text that is awkward in one way or another. */
  text(): string {
    const pieces = [
      "a",
      "é",
      "\0",
      "\u001b[2J",
      "\u202e",
      "\ud800",
      "%",
      "%00",
      "\n",
      "\u{1f4a5}",
      "'",
      '"',
      "\\",
      "{}",
      "/",
    ];
    const long = this.chance(0.1) ? 5_000 : 40;
    const piece = this.pick(pieces);
    return this.chance(0.3)
      ? piece.repeat(this.below(long))
      : Array.from({ length: this.below(20) }, () => this.pick(pieces)).join("");
  }

  /** A number that is awkward for one type or another. */
  number(): number {
    return this.pick([
      0,
      1,
      -1,
      127,
      128,
      255,
      256,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32,
      2 ** 53,
      -(2 ** 31),
      this.below(1e6),
    ]);
  }

  /** The same bytes with a few changes. */
  mutate(original: Uint8Array): Buffer {
    let bytes = Buffer.from(original);
    for (let changes = 1 + this.below(4); changes > 0; changes--) bytes = this.#change(bytes);
    return bytes;
  }

  #change(bytes: Buffer): Buffer<ArrayBuffer> {
    const at = this.below(bytes.length + 1);
    const length = this.below(this.chance(0.8) ? 8 : bytes.length + 1);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    switch (this.below(7)) {
      case 0:
        return Buffer.concat([before, after.subarray(length)]);
      case 1:
        return Buffer.concat([before, this.bytes(length), after]);
      case 2:
        return Buffer.concat([before, this.bytes(Math.min(length, after.length)), after.subarray(length)]);
      case 3:
        return Buffer.concat([before, after.subarray(0, length), after]);
      case 4:
        return Buffer.from(before);
      case 5:
        return Buffer.concat([before, Buffer.alloc(length, this.pick([0, 0x30, 0x7f, 0x80, 0xff])), after]);
      default: {
        const flipped = Buffer.from(bytes);
        if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << this.below(8));
        return flipped;
      }
    }
  }
}
