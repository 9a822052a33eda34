/** C0, DEL and C1: what a terminal, or a log, could take for a command. NUL, which PostgreSQL does not store, is one. */
const CONTROL = /\p{Cc}/gu;

/** Text of others as it is stored: without control characters, well-formed, and no longer than so many UTF-16 code units. */
export function boundText(text: string, maxLength: number): string {
  // What is cut in any case is not looked at.
  const cleaned = text
    .slice(0, 2 * maxLength)
    .replace(CONTROL, "")
    .toWellFormed();
  if (cleaned.length <= maxLength) return cleaned;
  // Not between the two halves of a character.
  const end = isHighSurrogate(cleaned.charCodeAt(maxLength - 1)) ? maxLength - 1 : maxLength;
  return cleaned.slice(0, end);
}

/** Whether text has characters that {@link boundText} takes out or replaces. */
export function isClean(text: string): boolean {
  return !/\p{Cc}/u.test(text) && text.isWellFormed();
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
