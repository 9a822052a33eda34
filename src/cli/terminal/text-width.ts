/** What nearly all text is. */
const ASCII = /^[\x20-\x7e]*$/;
/** Combining marks take no column of a terminal. */
const NO_COLUMN = /\p{M}/u;
/** Ideographs, syllables of the same width, full-width forms, and emoji take two. */
const TWO_COLUMNS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

/** The columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += widthOfCharacter(character);
  return width;
}

/** A text with something left out of its middle, so that it takes no more columns: of names the end tells more. */
export function shortenMiddle(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const headWidth = Math.floor((width - 1) * 0.4);
  const characters = [...text];
  const head = takeWidth(characters, headWidth);
  const tail = takeWidth(characters.toReversed(), width - 1 - headWidth).toReversed();
  return `${head.join("")}…${tail.join("")}`;
}

/**
 * Breaks a text between words.
 *
 * @param breakWords whether a word that is longer than a line is broken too, or stands alone on a line that is too long
 */
export function wrap(text: string, width: number, { breakWords }: { breakWords: boolean }): string[] {
  const words = text.split(" ").flatMap((word) => (breakWords ? pieces(word, width) : [word]));
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function pieces(word: string, width: number): string[] {
  let rest = [...word];
  const found: string[] = [];
  while (widthOf(rest.join("")) > width) {
    const piece = takeWidth(rest, width);
    // A character that is wider than the line.
    const taken = Math.max(piece.length, 1);
    found.push(rest.slice(0, taken).join(""));
    rest = rest.slice(taken);
  }
  return [...found, rest.join("")];
}

function takeWidth(characters: readonly string[], width: number): string[] {
  let left = width;
  const end = characters.findIndex((character) => {
    left -= widthOfCharacter(character);
    return left < 0;
  });
  return characters.slice(0, end === -1 ? characters.length : end);
}

function widthOfCharacter(character: string): number {
  if (NO_COLUMN.test(character)) return 0;
  return TWO_COLUMNS.test(character) ? 2 : 1;
}
