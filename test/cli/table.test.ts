import t from "tap";
import { type Column, names, optional, sentences } from "../../dist/cli/terminal/column.js";
import type { Layout } from "../../dist/cli/terminal/layout.js";
import { formatTable } from "../../dist/cli/terminal/table.js";
import { widthOf } from "../../dist/cli/terminal/text-width.js";
import { relativeTime } from "../../dist/cli/terminal/times.js";

const NOW = new Date("2026-11-26T12:00:00Z");
const COLUMNS: (Column | string)[] = [
  "ID",
  names("HOSTNAME"),
  "STATUS",
  optional("VERSION"),
  "SEEN",
  sentences("NOTE"),
];
const seen = (ago: number) => new Date(NOW.getTime() - ago * 1000);
const ROWS = [
  ["txjyi8tmukwpzybsqt2320gr", "web-01.rack-a.frankfurt.example.org", "active", "v0.31.0", seen(200), "x"],
  ["txjyi8tmukwpzybsqt2320gs", "b", "revoked", "v0.31.0", seen(7200), "ünïcödé 🙂 and more"],
];
const on = (columns: number, more: Partial<Layout> = {}): Layout => ({
  terminal: { columns, hasColours: false },
  now: NOW,
  ...more,
});

t.test("a pipe gets everything, and times exactly", async (t) => {
  t.equal(
    formatTable(COLUMNS, ROWS, { now: NOW }),
    [
      "ID                        HOSTNAME                             STATUS   VERSION  SEEN                      NOTE",
      "txjyi8tmukwpzybsqt2320gr  web-01.rack-a.frankfurt.example.org  active   v0.31.0  2026-11-26T11:56:40.000Z  x",
      "txjyi8tmukwpzybsqt2320gs  b                                    revoked  v0.31.0  2026-11-26T10:00:00.000Z  ünïcödé 🙂 and more",
    ].join("\n"),
  );
  t.equal(formatTable(COLUMNS, ROWS, on(40, { isWide: true })), formatTable(COLUMNS, ROWS, { now: NOW }), "--wide too");
});

t.test("on a terminal no line is wider than it, and what is left out is named", async (t) => {
  for (const columns of [36, 40, 50, 60, 70, 80, 100, 120, 200]) {
    const text = formatTable(COLUMNS, ROWS, on(columns));
    for (const line of text.split("\n")) t.ok(widthOf(line) <= columns, `${columns}: ${line}`);
    t.match(text, "txjyi8tmukwpzybsqt2320gr", "ids are whole");
    t.match(text, /\b3 min ago\b/, "times are whole");
    t.match(text, /\bactive\b/, "a state is whole");
  }
  const at80 = formatTable(COLUMNS, ROWS, on(80));
  t.match(at80, /web-01\S*…\S*ample\.org/, "a name loses its middle");
  t.match(at80, "(--wide shows VERSION as well)");
  t.match(formatTable(COLUMNS, ROWS, on(60)), /^ID +txjyi.*\nHOSTNAME +web-01/, "too narrow for a table: paragraphs");
});

t.test("rows never look alike because a name was shortened", async (t) => {
  for (const [a, b] of [
    ["a-very-long-name-that-ends-with-a-number-000001", "a-very-long-name-that-ends-with-a-number-000002"],
    ["same-beginning-DIFFERS-HERE-IN-ITS-MIDDLE-same-end", "same-beginning-OTHERWISE-AND-IN-ITS-MIDDLE-same-end"],
    ["111111111111111111111111111111111111.example", "211111111111111111111111111111111111.example"],
  ]) {
    const text = formatTable(
      [names("HOSTNAME"), "STATUS"],
      [
        [a ?? "", "x"],
        [b ?? "", "x"],
      ],
      on(30),
    );
    const lines = text.split("\n").slice(1);
    for (const line of lines) t.ok(line.length <= 30, line);
    t.equal(new Set(lines.map((line) => line.replace(/ +x$/, ""))).size, lines.length, text);
  }
});

t.test("colours are for a status, and do not count as width", async (t) => {
  const plain = formatTable(COLUMNS, ROWS, on(200));
  const colourful = formatTable(COLUMNS, ROWS, { terminal: { columns: 200, hasColours: true }, now: NOW });
  t.match(colourful, "\x1b[32mactive\x1b[0m");
  t.match(colourful, "\x1b[31mrevoked\x1b[0m");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken away
  t.equal(colourful.replace(/\x1b\[\d+m/g, ""), plain);
});

t.test("what an agent sent cannot steer a terminal", async (t) => {
  t.equal(
    formatTable(["ID"], [["a\x1b[2J\r\nb\u202ec\u2028"]], { now: NOW }),
    String.raw`ID
a\u001b[2J\u000d\u000ab\u202ec\u2028`,
  );
});

t.test("a table of no rows, and characters that take two columns or none", async (t) => {
  t.equal(formatTable(COLUMNS, [], { now: NOW }), "ID  HOSTNAME  STATUS  VERSION  SEEN  NOTE");
  t.equal(widthOf("日本🙂"), 6);
  t.equal(widthOf("e\u0301"), 1);
  const text = formatTable([names("HOSTNAME"), "STATUS"], [["日本語の長い名前".repeat(5), "x"]], on(40));
  for (const line of text.split("\n")) t.ok(widthOf(line) <= 40, line);
});

t.test("relative times", async (t) => {
  for (const [ago, expected] of [
    [0, "0 s ago"],
    [59, "59 s ago"],
    [60, "1 min ago"],
    [3_599, "59 min ago"],
    [3_600, "1 h ago"],
    [47 * 3_600, "47 h ago"],
    [48 * 3_600, "2 days ago"],
    [60 * 86_400, "2026-09-27"],
    [-90, "in 1 min"],
    [-40 * 86_400, "in 40 days"],
  ] as const) {
    t.equal(relativeTime(seen(ago), NOW), expected);
  }
});
