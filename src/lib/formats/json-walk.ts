/** What a walk found: how many elements there are, or why it stopped. */
export type JsonWalk = { elements: number } | { problem: "malformed" | "too many elements"; detail: string };

const MAX_DEPTH = 32;
/** Turning digits into a BigInt takes a time that grows faster than their number; 64 bits are 20 digits. */
const MAX_DIGITS = 400;
/** Parsers repeat a name that they object to in what they say. */
const MAX_NAME_BYTES = 256;

const QUOTE = 0x22;
const COMMA = 0x2c;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LETTER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Walks over JSON text (UTF-8) without parsing it, and counts its elements: objects, arrays and what they hold. A parser
 * makes an object of some hundred bytes of an element of two, so they are counted first. Whether the text is JSON at
 * all is left to the parser.
 */
export function walkJson(text: Uint8Array, { maxElements }: { maxElements: number }): JsonWalk {
  let elements = 1;
  let depth = 0;
  let digits = 0;
  let inString = false;
  let stringStart = 0;
  let stringEnd = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number;
    const isEscape = inString && byte === BACKSLASH;
    // In strings as well: numbers of 64 bits may stand in them.
    if (isDigit(byte) || (isEscape && isEscapedDigit(text, at))) digits++;
    else digits = 0;
    if (digits > MAX_DIGITS) return malformed(`more than ${MAX_DIGITS} digits in a row`);
    if (isEscape) at += text[at + 1] === LETTER_U ? 5 : 1;
    else if (byte === QUOTE) {
      if (inString) stringEnd = at;
      else stringStart = at;
      inString = !inString;
    } else if (inString) continue;
    else if (byte === COMMA) elements++;
    else if (byte === COLON && stringEnd - stringStart > MAX_NAME_BYTES) {
      return malformed(`a name of more than ${MAX_NAME_BYTES} bytes`);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      elements++;
      depth++;
      if (depth > MAX_DEPTH) return malformed(`values nested more than ${MAX_DEPTH} deep`);
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
    if (elements > maxElements) return { problem: "too many elements", detail: `more than ${maxElements} values` };
  }
  return { elements };
}

function isDigit(byte: number): boolean {
  return byte >= DIGIT_0 && byte <= DIGIT_9;
}

/** `\u0030` to `\u0039`, from the backslash on. */
function isEscapedDigit(text: Uint8Array, at: number): boolean {
  return (
    text[at + 1] === LETTER_U &&
    text[at + 2] === DIGIT_0 &&
    text[at + 3] === DIGIT_0 &&
    text[at + 4] === DIGIT_0 + 3 &&
    isDigit(text[at + 5] ?? 0)
  );
}

function malformed(detail: string): JsonWalk {
  return { problem: "malformed", detail };
}
