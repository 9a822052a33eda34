/** White space, and what cannot be seen either: a byte-order mark, characters of no width. */
const PASTED = /^[\s\p{Cf}]+|[\s\p{Cf}]+$/gu;

/** A token, id or name without what pasting, or a file with other line ends, brings before and after it. */
export function trimPasted(text: string): string {
  return text.replace(PASTED, "");
}
