import t from "tap";
import { readDurationMs } from "../../dist/cli/terminal/duration.js";
import { parseDurationMs } from "../../dist/lib/formats/duration.js";

t.test("a duration is a whole number and a unit", async (t) => {
  for (const [text, durationMs] of [
    ["500ms", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["12h", 43_200_000],
    ["30d", 2_592_000_000],
    ["007s", 7_000],
    ["0s", 0],
    ["999999999d", 86_399_999_913_600_000],
  ] as const) {
    t.equal(parseDurationMs(text), durationMs, text);
  }
  const nothing = [
    "",
    "s",
    "5",
    "5 s",
    " 5s",
    "5s ",
    "-5s",
    "+5s",
    "1.5h",
    "1e3s",
    "5S",
    "5w",
    "1h30m",
    "٥s",
    "1234567890s",
  ];
  for (const text of [...nothing, "5s\n", "constructor"])
    t.equal(parseDurationMs(text), undefined, JSON.stringify(text));
});

t.test("a command takes no duration of nothing", async (t) => {
  t.equal(readDurationMs("5m"), 300_000);
  for (const text of ["0s", "0d", "soon"])
    t.throws(() => readDurationMs(text), { message: /such as 500ms, 30s/ }, text);
});
