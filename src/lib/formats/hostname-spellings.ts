/** Letters beyond ASCII of which every mixture of cases is listed: 32 spellings. */
const MAX_MIXED = 5;

/**
 * How the same hostname may be written, for a database that folds only what its locale knows (with "C", ASCII): asked for
 * all of these, each of which it folds by its own rules as it does the names that it holds, it finds every case and a dot
 * at the end. Of a name with more than five letters beyond ASCII it finds the usual spellings: all small, all capital, and
 * words that begin with a capital.
 */
export function hostnameSpellings(hostname: string): string[] {
  const lower = hostname.toLowerCase();
  const spellings = new Set([hostname, lower, hostname.toUpperCase(), ...mixtures(lower)]);
  return [...spellings].flatMap((name) => [name, `${name}.`]);
}

function mixtures(lower: string): string[] {
  const letters = [...lower];
  const mixed = letters.flatMap((letter, index) => (letter > "\x7f" && letter !== letter.toUpperCase() ? [index] : []));
  if (mixed.length > MAX_MIXED) return [lower.replace(/\p{L}+/gu, capitalise)];
  let spellings = [letters];
  for (const index of mixed) {
    const capital = letters[index]?.toUpperCase() ?? "";
    spellings = spellings.flatMap((spelling) => [spelling, spelling.with(index, capital)]);
  }
  return spellings.map((spelling) => spelling.join(""));
}

function capitalise(word: string): string {
  const [first = "", ...rest] = word;
  return first.toUpperCase() + rest.join("");
}

/** Whether two hostnames are the same, whatever their case, with or without a dot at their end. */
export function isSameHostname(one: string, other: string): boolean {
  const [first, second] = [one, other].map((name) => name.replace(/\.$/, "").toLowerCase());
  return first === second;
}
