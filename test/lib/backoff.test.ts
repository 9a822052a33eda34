import t from "tap";
import { backoffDelayMs } from "../../dist/lib/async/backoff.js";

const OPTIONS = { baseMs: 100, maxMs: 1_000 };
/** Upper bounds of the waits after one failure, two, and so on. */
const CEILINGS_MS = [100, 200, 400, 800, 1_000, 1_000];

t.test("waits double up to a bound, spread over their upper half", async (t) => {
  for (const [index, ceilingMs] of CEILINGS_MS.entries()) {
    const waits = Array.from({ length: 500 }, () => backoffDelayMs(index + 1, OPTIONS));
    const [shortest, longest] = [Math.min(...waits), Math.max(...waits)];
    t.ok(shortest >= ceilingMs / 2 && longest <= ceilingMs, `${index + 1}: ${shortest} to ${longest}`);
    // That of 500 none falls into a tenth of the range happens once in 10^22.
    t.ok(shortest < ceilingMs * 0.55 && longest > ceilingMs * 0.95, `${index + 1}: they differ`);
  }
});

t.test("a failure that goes on for years waits no longer than the bound", async (t) => {
  for (const attempt of [64, 1_024, 1_000_000]) t.ok(backoffDelayMs(attempt, OPTIONS) <= OPTIONS.maxMs, `${attempt}`);
  t.ok(backoffDelayMs(1, { baseMs: 5_000, maxMs: 1_000 }) <= 1_000, "also the first one");
});
