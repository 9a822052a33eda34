import t from "tap";
import { Batcher, type BatcherOptions } from "../../dist/lib/async/batcher.js";

/** A batcher of words whose flushes end when the test says so. */
function createBatcher(options: Partial<BatcherOptions<string, string>> = {}) {
  const flushed: string[][] = [];
  const pending: (() => void)[] = [];
  let tell = () => {};
  const batcher = new Batcher<string, string>({
    flush: async (items) => {
      flushed.push([...items]);
      tell();
      await new Promise<void>((resolve) => pending.push(resolve));
      if (items.includes("broken")) throw new Error("not written");
      return items.map((item) => ({ done: item.toUpperCase() }));
    },
    maxItems: 100,
    ...options,
  });
  return {
    batcher,
    flushed,
    /** Ends the flush under way, once there are so many. */
    finish: async (count: number) => {
      while (flushed.length < count) await new Promise<void>((resolve) => (tell = resolve));
      pending.shift()?.();
    },
  };
}

t.test("while one batch is written the next one fills", async (t) => {
  const { batcher, flushed, finish } = createBatcher();
  const first = batcher.add("a");
  await new Promise((resolve) => setImmediate(resolve));
  const later = Promise.all(["b", "c", "d"].map((item) => batcher.add(item)));
  await finish(1);
  t.equal(await first, "A");
  await finish(2);
  t.same(await later, ["B", "C", "D"]);
  t.same(flushed, [["a"], ["b", "c", "d"]]);
});

t.test("a batch is bounded in items and in weight; what is heavier goes alone", async (t) => {
  const { batcher, flushed, finish } = createBatcher({ maxItems: 3, maxWeight: 10 });
  const weights = { a: 4, b: 6, c: 1, d: 25, e: 0, f: 0, g: 0, h: 0 };
  const all = Promise.all(Object.entries(weights).map(([item, weight]) => batcher.add(item, weight)));
  for (let count = 1; count <= 5; count++) await finish(count);
  t.equal((await all).length, 8);
  t.same(flushed, [["a", "b"], ["c"], ["d"], ["e", "f", "g"], ["h"]]);
});

t.test("what waits is bounded in weight, first come, first served", async (t) => {
  const { batcher, flushed, finish } = createBatcher({ maxItems: 1, maxWaitingWeight: 10 });
  const order: string[] = [];
  const add = (item: string, weight: number) => batcher.add(item, weight).then(() => order.push(item));
  const all = Promise.all([add("a", 6), add("b", 8), add("c", 1)]);
  await finish(1);
  await finish(2);
  await finish(3);
  await all;
  t.same(order, ["a", "b", "c"], "the light one did not overtake the heavy one");
  t.same(flushed, [["a"], ["b"], ["c"]]);
});

t.test("a batch waits for company, for a time, and not when there is enough", async (t) => {
  const { batcher, finish } = createBatcher({ company: { items: 3, withinMs: 50 } });
  const startedAt = performance.now();
  const lonely = batcher.add("a");
  await finish(1);
  t.ok(performance.now() - startedAt > 40, "the first one has waited");
  t.equal(await lonely, "A");

  // Ever so long, were there not enough.
  const patient = createBatcher({ maxItems: 4, company: { items: 3, withinMs: 1_000_000 } });
  const add = (items: string[]) => items.map((item) => patient.batcher.add(item));
  const first = add(["b", "c"]);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(patient.flushed, [], "two are none");
  first.push(...add(["d", "e", "f"]));
  await patient.finish(1);
  await Promise.all(first.slice(0, 4));
  const second = add(["g", "h"]);
  await patient.finish(2);
  await Promise.all([first[4], ...second]);
  t.same(patient.flushed, [
    ["b", "c", "d", "e"],
    ["f", "g", "h"],
  ]);
});

t.test("a flush that rejects fails its items alone", async (t) => {
  const { batcher, finish } = createBatcher({ maxItems: 2 });
  const settled = Promise.allSettled(["a", "broken", "c"].map((item) => batcher.add(item)));
  await finish(1);
  await finish(2);
  t.match(await settled, [
    { status: "rejected", reason: { message: "not written" } },
    { status: "rejected" },
    { status: "fulfilled", value: "C" },
  ]);
});

t.test("what is busy is tried again with a later batch", async (t) => {
  let attempts = 0;
  const batcher = new Batcher<string, number>({
    flush: async (items) => {
      attempts += 1;
      return items.map(() => (attempts === 1 ? { busy: true } : { done: attempts }));
    },
    maxItems: 10,
  });
  t.equal(await batcher.add("a"), 2);
});

t.test("what stays busy is tried more and more seldom", async (t) => {
  const attemptedAt: number[] = [];
  const batcher = new Batcher<string, string>({
    flush: async (items) => {
      attemptedAt.push(performance.now());
      return items.map(() => (attemptedAt.length < 25 ? { busy: true } : { done: "done" }));
    },
    maxItems: 10,
  });
  await batcher.add("a");
  const [first = 0] = attemptedAt;
  attemptedAt.slice(1).forEach((at, index) => {
    const before = attemptedAt[index] ?? 0;
    // Timers count whole milliseconds.
    t.ok(at - before >= Math.max(10, (before - first) / 10) - 2, `try ${index + 2}`);
  });
});

t.test("but once a second, however long it has been busy", { timeout: 10_000 }, async (t) => {
  const { now } = performance;
  t.teardown(() => {
    performance.now = now;
  });
  let attempts = 0;
  const batcher = new Batcher<string, number>({
    flush: async (items) => {
      attempts += 1;
      // An hour later.
      performance.now = () => now.call(performance) + 3_600_000;
      return items.map(() => (attempts === 1 ? { busy: true } : { done: attempts }));
    },
    maxItems: 10,
  });
  t.equal(await batcher.add("a"), 2);
});
