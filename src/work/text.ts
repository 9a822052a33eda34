/** PostgreSQL stores no NUL, and its jsonb no lone surrogate. */
export function cleanText(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}

/** Text of at most so many UTF-8 bytes; what is more is cut, with a mark that says so. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  // A character that is cut in two decodes to a replacement character.
  const kept = Buffer.from(text)
    .subarray(0, maxBytes)
    .toString("utf8")
    .replace(/\uFFFD$/, "");
  return `${kept}\n[cut: it is longer than ${Math.round(maxBytes / 1024)} KiB]`;
}

const MAX_JSON_BYTES = 1024 * 1024;
/** PostgreSQL's own parser gives up at some thousands, and fails the statement. */
const MAX_JSON_DEPTH = 100;

/** JSON text as a jsonb column can store it; null when it is no JSON, or too large or too deep to be kept. */
export function cleanJson(text: string): string | null {
  if (text === "" || text.length > MAX_JSON_BYTES || isDeep(text)) return null;
  try {
    return JSON.stringify(clean(JSON.parse(text)));
  } catch {
    return null;
  }
}

function isDeep(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    if (depth > MAX_JSON_DEPTH) return true;
  }
  return false;
}

function clean(value: unknown): unknown {
  if (typeof value === "string") return cleanText(value);
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [cleanText(key), clean(member)]));
}
