import t from "tap";
import { boundText, isClean } from "../../dist/lib/formats/bounded-text.js";

t.test("text of others: cleaned, well-formed, and no longer than it may be", async (t) => {
  const cases: [string, number, string][] = [
    ["web-01", 10, "web-01"],
    ["a\0b\x1b[31mc\x7f\x85\x9bd\n", 20, "ab[31mcd"],
    ["äöü 東京 🙂", 20, "äöü 東京 🙂"],
    ["abcdef", 3, "abc"],
    ["ab🙂", 3, "ab"],
    ["ab🙂", 4, "ab🙂"],
    ["a\ud800b", 10, "a\ufffdb"],
    ["\0\0\0abc", 3, "abc"],
    ["", 3, ""],
  ];
  for (const [text, max, expected] of cases) t.equal(boundText(text, max), expected, JSON.stringify(text));
  for (const text of ["web-01", "東京", "🙂", ""]) t.ok(isClean(text), text);
  for (const text of ["a\0", "\x1b", "\x7f", "\x80", "\x9f", "\ud800", "a\n"])
    t.notOk(isClean(text), JSON.stringify(text));
});
