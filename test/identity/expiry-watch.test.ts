import t from "tap";
import { watchExpiry } from "../../dist/identity/expiry-watch.js";
import { KeyEvents } from "../../dist/identity/key-events.js";
import { eventually } from "../support/eventually.js";
import { createTestLog } from "../support/log.js";

const DAY_MS = 24 * 60 * 60 * 1000;

t.test("what expires within 30 days is warned of at once, and again", async (t) => {
  const { logger, lines } = createTestLog();
  const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);
  const stop = watchExpiry(
    () => [
      { name: "in time", notAfter: inDays(31) },
      { name: "soon", notAfter: inDays(29) },
      { name: "gone", notAfter: inDays(-1) },
    ],
    new KeyEvents(logger),
    20,
  );
  t.match(lines, [
    { level: "warn", certificate: "soon", msg: "a certificate expires soon" },
    { level: "warn", certificate: "gone", msg: "a certificate expired" },
  ]);
  await eventually(
    async () => lines.length,
    (count) => count >= 4,
  );
  stop();
  t.notOk(lines.some(({ certificate }) => certificate === "in time"));
});
