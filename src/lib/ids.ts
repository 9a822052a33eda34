import { randomBytes } from "node:crypto";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const LETTERS_AND_DIGITS = `${LETTERS}0123456789`;
const ID_LENGTH = 24;

/**
 * Makes a row id in the platform's cuid2 form: 24 cryptographically random lower-case letters and digits, the first
 * one a letter.
 */
export function createId(): string {
  let id = "";
  while (id.length < ID_LENGTH) {
    for (const byte of randomBytes(2 * ID_LENGTH)) {
      const alphabet = id.length === 0 ? LETTERS : LETTERS_AND_DIGITS;
      // Bytes past the largest multiple of the alphabet's length would make its first characters likelier.
      if (byte < 256 - (256 % alphabet.length)) id += alphabet[byte % alphabet.length];
      if (id.length === ID_LENGTH) break;
    }
  }
  return id;
}
