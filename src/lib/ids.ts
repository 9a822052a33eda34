import { randomFillSync } from "node:crypto";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const LETTERS_AND_DIGITS = `${LETTERS}0123456789`;
const ID_LENGTH = 24;
/** Asking for random bytes costs more than using them: what one request brings is enough for some hundred ids. */
const POOL_BYTES = 8_192;

const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

function nextByte(): number {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const byte = pool[used] ?? 0;
  used += 1;
  return byte;
}

/**
 * Makes a row id in the platform's cuid2 form: 24 cryptographically random lower-case letters and digits, the first
 * one a letter.
 */
export function createId(): string {
  let id = "";
  while (id.length < ID_LENGTH) {
    const byte = nextByte();
    const alphabet = id.length === 0 ? LETTERS : LETTERS_AND_DIGITS;
    // Bytes past the largest multiple of the alphabet's length would make its first characters likelier.
    if (byte < 256 - (256 % alphabet.length)) id += alphabet[byte % alphabet.length];
  }
  return id;
}
