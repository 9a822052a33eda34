import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import { Refresher } from "../../dist/lib/async/refresher.js";
import { eventually } from "../support/eventually.js";

const HOUR_MS = 60 * 60 * 1000;

t.test("whoever asks gets a run that began afterwards, and all who ask meanwhile share it", async (t) => {
  const runs: (() => void)[] = [];
  const refresher = new Refresher({
    work: () => new Promise<void>((resolve) => runs.push(resolve)),
    intervalMs: HOUR_MS,
    onError: () => t.fail("nothing fails"),
  });
  const first = refresher.now();
  await eventually(
    async () => runs.length,
    (count) => count === 1,
  );
  let settled = 0;
  const later = [refresher.now(), refresher.now()].map((asked) => asked.then(() => settled++));
  runs[0]?.();
  await first;
  await eventually(
    async () => runs.length,
    (count) => count === 2,
  );
  t.equal(settled, 0, "the run that was going on when they asked is not theirs");
  runs[1]?.();
  await Promise.all(later);
  t.equal(runs.length, 2);
  await refresher.stop();
  await t.rejects(refresher.now(), /stopped/);
});

t.test("however often it is asked, it keeps its pace", async (t) => {
  const startedAt: number[] = [];
  const refresher = new Refresher({
    work: async () => void startedAt.push(performance.now()),
    intervalMs: HOUR_MS,
    paceMs: 100,
    onError: () => {},
  });
  for (let i = 0; i < 3; i++) await refresher.now();
  const gaps = startedAt.slice(1).map((at, i) => at - (startedAt[i] ?? 0));
  t.ok(
    gaps.every((gap) => gap >= 99),
    `${gaps}`,
  );
  const pending = refresher.now();
  await refresher.stop();
  await t.rejects(pending, /stopped/, "stopping does not wait for the pace");
});

t.test("it runs by itself, and of failures in a row the first is told", async (t) => {
  const errors: unknown[] = [];
  let runs = 0;
  const refresher = new Refresher({
    work: async () => {
      runs += 1;
      if (runs !== 4) throw new Error(`run ${runs}`);
    },
    intervalMs: 1,
    onError: (error) => errors.push((error as Error).message),
  });
  await eventually(
    async () => runs,
    (count) => count >= 6,
  );
  await refresher.stop();
  const ran = runs;
  await delay(20);
  t.equal(runs, ran);
  t.same(errors, ["run 1", "run 5"]);
});

t.test("whoever only gives a hint ends no process, whether it fails or was stopped", async (t) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  t.teardown(() => process.off("unhandledRejection", onUnhandled));
  const refresher = new Refresher({
    work: async () => {
      throw new Error("not now");
    },
    intervalMs: HOUR_MS,
    onError: () => {},
  });
  void refresher.now();
  await t.rejects(refresher.now(), /not now/);
  void refresher.now();
  const stopped = refresher.stop();
  void refresher.now();
  await stopped;
  void refresher.now();
  // Node looks for rejections that nobody handles after each turn of the event loop.
  await delay(1);
  t.same(unhandled, []);
});
