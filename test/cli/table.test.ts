import t from "tap";
import { formatTable } from "../../dist/cli/terminal/table.js";

const HEADER = ["ID", "HOSTNAME", "STATUS", "NOTE"];
const ROWS = [
  ["txjyi8tmukwpzybsqt2320gr", "a-rather-long-hostname.example.org", "active", "x"],
  ["txjyi8tmukwpzybsqt2320gs", "b", "revoked", "ünïcödé 🙂 and more"],
];

t.test("columns are as wide as their widest cell where there is no terminal", async (t) => {
  t.equal(
    formatTable(HEADER, ROWS),
    [
      "ID                        HOSTNAME                            STATUS   NOTE",
      "txjyi8tmukwpzybsqt2320gr  a-rather-long-hostname.example.org  active   x",
      "txjyi8tmukwpzybsqt2320gs  b                                   revoked  ünïcödé 🙂 and more",
    ].join("\n"),
  );
});

t.test("on a terminal no line is wider than it; ids are whole, what is cut ends with …", async (t) => {
  const lines = formatTable(HEADER, ROWS, { columns: 60, hasColours: false }).split("\n");
  for (const line of lines) t.ok([...line].length <= 60, line);
  t.match(lines[1], /^txjyi8tmukwpzybsqt2320gr {2}a-r[^ ]*… {2}/);
  t.notMatch(lines.join(), "\x1b");
  const narrow = formatTable(HEADER, ROWS, { columns: 10, hasColours: false });
  t.match(narrow, "txjyi8tmukwpzybsqt2320gr  a-r…", "narrower than anything: ids stay whole");
});

t.test("colours are for a status, and do not count as width", async (t) => {
  const plain = formatTable(HEADER, ROWS, { columns: 200, hasColours: false });
  const colourful = formatTable(HEADER, ROWS, { columns: 200, hasColours: true });
  t.match(colourful, "\x1b[32mactive\x1b[0m");
  t.match(colourful, "\x1b[31mrevoked\x1b[0m");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken away
  t.equal(colourful.replace(/\x1b\[\d+m/g, ""), plain);
});

t.test("what an agent sent cannot steer a terminal", async (t) => {
  t.equal(
    formatTable(["ID"], [["a\x1b[2J\r\nb\u202ec\u2028"]]),
    String.raw`ID
a\u001b[2J\u000d\u000ab\u202ec\u2028`,
  );
});
