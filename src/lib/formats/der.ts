/** The tags of DER that occur in certificates and requests (X.690, and RFC 5280 for those of the context). */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
};

const TAG_NUMBER = 0x1f;
const CONSTRUCTED = 0x20;
const MAX_DEPTH = 16;
const MAX_UNUSED_BITS = 7;
/** Those in use have up to 36; node:crypto crashes at what needs more than 256 characters to be written. */
const MAX_IDENTIFIER_BYTES = 64;

/** An element of DER. */
export interface DerElement {
  tag: number;
  content: Buffer;
  /** Tag, length and content, as they were read. */
  encoded: Buffer;
}

/**
 * Reads the elements that stand one after the other.
 *
 * @throws Error when one breaks off, is longer than 16 MB, or has its length written otherwise than in DER
 */
export function readElements(der: Buffer): DerElement[] {
  const found: DerElement[] = [];
  for (let rest = der; rest.length > 0; ) {
    const [tag, first] = rest;
    if (tag === undefined || first === undefined) throw new Error("an element that breaks off");
    // Above 127 it counts the bytes of the length: 1 to 3 here, and never 0, which is not DER.
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || lengthBytes > 3) throw new Error("an element of an impossible length");
    const start = 2 + lengthBytes;
    const length = lengthBytes === 0 ? first : rest.readUIntBE(2, lengthBytes);
    if (lengthBytes > 0 && length < Math.max(0x80, 0x100 ** (lengthBytes - 1)))
      throw new Error("a length that is not DER");
    const end = start + length;
    if (end > rest.length) throw new Error("an element that breaks off");
    found.push({ tag, content: rest.subarray(start, end), encoded: rest.subarray(0, end) });
    rest = rest.subarray(end);
  }
  return found;
}

/**
 * Walks elements to the bottom of each. What passes has no surprise left for a reader that trusts its input.
 *
 * @throws Error when one is malformed, nested deeper than certificates are, or has an object identifier longer than any
 * that is in use
 */
export function walkElements(der: Buffer, depth = 0): void {
  if (depth > MAX_DEPTH) throw new Error("elements nested too deep");
  for (const { tag, content } of readElements(der)) {
    if ((tag & TAG_NUMBER) === TAG_NUMBER) throw new Error("a tag of several bytes");
    if ((tag & CONSTRUCTED) !== 0) walkElements(content, depth + 1);
    else if (!isPlain(tag, content)) throw new Error(`a malformed element ${tag}`);
  }
}

/** Whether the content of an element that holds no others is what its tag promises. */
function isPlain(tag: number, content: Buffer): boolean {
  switch (tag) {
    case DER_TAG.boolean:
      return content.length === 1;
    case DER_TAG.integer:
      return content.length > 0;
    case DER_TAG.bitString:
      return (content[0] ?? MAX_UNUSED_BITS + 1) <= MAX_UNUSED_BITS;
    case DER_TAG.null:
      return content.length === 0;
    case DER_TAG.objectIdentifier:
      // The last byte of each number of it, and so of all, has the high bit clear.
      return content.length > 0 && content.length <= MAX_IDENTIFIER_BYTES && (content.at(-1) ?? 0) < 0x80;
    default:
      return true;
  }
}

/**
 * The content of an element, which must have this tag.
 *
 * @throws Error
 */
export function contentOf(element: DerElement | undefined, tag: number): Buffer {
  if (element?.tag !== tag) throw new Error(`an element ${element?.tag} where ${tag} belongs`);
  return element.content;
}

/** Writes an element; its content may come in parts. */
export function encodeElement(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.of(tag), encodeLength(length), ...parts]);
}

/** Writes a SEQUENCE of elements that are written already. */
export function encodeSequence(...elements: readonly Uint8Array[]): Buffer {
  return encodeElement(DER_TAG.sequence, ...elements);
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const bytes = Math.ceil(Math.log2(length + 1) / 8);
  const encoded = Buffer.alloc(1 + bytes);
  encoded[0] = 0x80 | bytes;
  encoded.writeUIntBE(length, 1, bytes);
  return encoded;
}
