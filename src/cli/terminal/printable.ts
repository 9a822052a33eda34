/**
 * What a terminal could take for a command, or shows as nothing or in another place: control characters (C0, DEL, C1),
 * format characters (bidirectional, zero-width, soft hyphens, tags), what fonts leave out, line and paragraph separators,
 * and halves of characters.
 */
const UNSEEN = String.raw`[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]`;
const UNSEEN_CHARACTER = new RegExp(UNSEEN, "gu");
/** Those, but for the colours of {@link coloured} as a whole. */
const COLOUR_OR_UNSEEN = new RegExp(String.raw`\x1b\[(?:0|31|32|33|90)m|${UNSEEN}`, "gu");

/** Text of others in one line as it may be shown: what cannot be seen is escaped, as in JSON. */
export function printable(text: string): string {
  return text.replace(UNSEEN_CHARACTER, escapeUnits);
}

/**
 * Output as it may be shown, whatever it was made of: only line breaks, tabs, and colours where there are any, are as they
 * are. What is JSON stays the same JSON: there such characters are only in strings.
 */
export function printableOutput(text: string, { hasColours }: { hasColours: boolean }): string {
  return text.replace(COLOUR_OR_UNSEEN, (found) => {
    if (found === "\n" || found === "\t") return found;
    return hasColours && found.length > 2 ? found : escapeUnits(found);
  });
}

/** Each UTF-16 unit; what is visible, of a colour that is none, stays. */
function escapeUnits(characters: string): string {
  if (characters.length > 2) return characters.replace(UNSEEN_CHARACTER, escapeUnits);
  return Array.from({ length: characters.length }, (_, index) => {
    const unit = characters.charCodeAt(index).toString(16).padStart(4, "0");
    return `\\u${unit}`;
  }).join("");
}
