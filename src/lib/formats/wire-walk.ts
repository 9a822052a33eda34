import { isUtf8 } from "node:buffer";

/** What a field holds: a number as it is written, bytes, text, or a message. */
export type WireKind = "varint" | "fixed32" | "fixed64" | "bytes" | "text" | WireShape;

/** A field that a message may have. */
export interface WireField {
  /** For whoever is told that it is malformed. */
  name: string;
  kind: WireKind;
  isRepeated: boolean;
}

/** The fields of a message, by number. */
export interface WireShape extends ReadonlyMap<number, WireField> {}

/** What a walk found: how many elements there are, or why it stopped. */
export type WireWalk = { elements: number } | { problem: "malformed" | "too many elements"; detail: string };

const MAX_DEPTH = 32;
const MAX_VARINT_BYTES = 10;
const MAX_TAG_BYTES = 5;
/** Text up to here is compared byte by byte, which costs less than a native call. */
const SHORT_TEXT_BYTES = 64;

class Stop extends Error {
  constructor(
    readonly problem: "malformed" | "too many elements",
    detail: string,
  ) {
    super(detail);
  }
}

/**
 * Walks over a message as Protocol Buffers write it, without decoding it, and counts its elements: fields, known or
 * not, in nested messages too, and the values of packed ones. A decoder makes an object of some hundred bytes of an
 * element of two, so they are counted first.
 *
 * It is stricter than decoders are: a field of another type than its own, a group (proto3 has none), a message that
 * reaches beyond the one it is in, and text that is not UTF-8 are malformed. What passes can be decoded.
 */
export function walkWire(bytes: Uint8Array, shape: WireShape, { maxElements }: { maxElements: number }): WireWalk {
  const walk = new Walk(bytes, maxElements);
  try {
    walk.message(shape, bytes.length, 1);
  } catch (error) {
    if (error instanceof Stop) return { problem: error.problem, detail: error.message };
    throw error;
  }
  return { elements: walk.elements };
}

class Walk {
  elements = 0;
  #position = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly maxElements: number,
  ) {}

  message(shape: WireShape, end: number, depth: number): void {
    if (depth > MAX_DEPTH) throw new Stop("malformed", `messages nested more than ${MAX_DEPTH} deep`);
    while (this.#position < end) {
      const start = this.#position;
      const tag = this.#varint(end);
      const number = Math.floor(tag / 8);
      if (tag > 0xffff_ffff || this.#position - start > MAX_TAG_BYTES || number === 0) {
        throw new Stop("malformed", `no field begins at byte ${start}`);
      }
      this.#count(1);
      this.#value(number, tag % 8, shape.get(number), end, depth);
    }
  }

  #value(number: number, wireType: number, field: WireField | undefined, end: number, depth: number): void {
    const name = field?.name ?? number;
    const kind = field?.kind;
    switch (wireType) {
      case 0:
        if (kind !== undefined && kind !== "varint") throw wrongType(name);
        this.#varint(end);
        return;
      case 1:
        if (kind !== undefined && kind !== "fixed64") throw wrongType(name);
        this.#skip(8, end);
        return;
      case 5:
        if (kind !== undefined && kind !== "fixed32") throw wrongType(name);
        this.#skip(4, end);
        return;
      case 2: {
        const length = this.#varint(end);
        const start = this.#position;
        if (length > end - start) throw new Stop("malformed", `field ${name} breaks off`);
        if (field !== undefined) this.#content(field, start + length, depth);
        this.#position = start + length;
        return;
      }
      default:
        throw new Stop("malformed", `field ${name} has wire type ${wireType}, which proto3 does not have`);
    }
  }

  /** Of a known field whose length is given. */
  #content({ name, kind, isRepeated }: WireField, end: number, depth: number): void {
    if (kind === "bytes") return;
    if (kind === "text") {
      if (!this.#isText(end)) throw new Stop("malformed", `field ${name} is not UTF-8`);
    } else if (typeof kind === "object") {
      this.message(kind, end, depth + 1);
    } else if (!isRepeated) {
      throw wrongType(name);
    } else if (kind === "varint") {
      while (this.#position < end) {
        this.#count(1);
        this.#varint(end);
      }
    } else {
      const size = kind === "fixed32" ? 4 : 8;
      const length = end - this.#position;
      if (length % size !== 0) throw new Stop("malformed", `field ${name} breaks off`);
      this.#count(length / size);
    }
  }

  #count(elements: number): void {
    this.elements += elements;
    if (this.elements > this.maxElements) {
      throw new Stop("too many elements", `more than ${this.maxElements} fields and values`);
    }
  }

  /** Exact up to 2^53; what is larger is neither a tag nor a length. */
  #varint(end: number): number {
    const { bytes } = this;
    let value = 0;
    let scale = 1;
    for (let read = 0; read < MAX_VARINT_BYTES; read++) {
      if (this.#position >= end) throw new Stop("malformed", "a number breaks off");
      const byte = bytes[this.#position++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new Stop("malformed", `a number of more than ${MAX_VARINT_BYTES} bytes`);
  }

  #skip(length: number, end: number): void {
    this.#position += length;
    if (this.#position > end) throw new Stop("malformed", "a number breaks off");
  }

  #isText(end: number): boolean {
    const start = this.#position;
    if (end - start <= SHORT_TEXT_BYTES) {
      let at = start;
      while (at < end && (this.bytes[at] as number) < 0x80) at++;
      if (at === end) return true;
    }
    return isUtf8(this.bytes.subarray(start, end));
  }
}

function wrongType(name: string | number): Stop {
  return new Stop("malformed", `field ${name} is of another type`);
}
