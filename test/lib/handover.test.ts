import t from "tap";
import { Handover } from "../../dist/lib/handover.js";

t.test("a value counts as taken when the next one is asked for", async (t) => {
  const handover = new Handover<string>();
  const iterator = handover[Symbol.asyncIterator]();
  const first = iterator.next();
  let taken = false;
  const put = handover.put("a").then(() => {
    taken = true;
  });
  t.same(await first, { value: "a", done: false });
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(taken, "it may still be being written");
  const second = iterator.next();
  await put;
  t.ok(taken);
  const last = handover.put("b");
  t.same(await second, { value: "b", done: false });
  const end = iterator.next();
  await last;
  handover.end();
  t.same(await end, { value: undefined, done: true });
});

t.test("the end comes before a value that was not taken, and the first end counts", async (t) => {
  const handover = new Handover<string>();
  void handover.put("dropped");
  handover.fail(undefined);
  handover.end();
  let thrown: { error: unknown } | undefined;
  try {
    for await (const value of handover) t.fail(`${value} was handed over`);
  } catch (error) {
    thrown = { error };
  }
  t.same(thrown, { error: undefined }, "also with no reason");
});

t.test("an end that comes while nothing is asked for is not missed", async (t) => {
  const handover = new Handover<string>();
  const iterator = handover[Symbol.asyncIterator]();
  const first = iterator.next();
  void handover.put("a");
  await first;
  handover.fail(new Error("over"));
  await t.rejects(iterator.next(), /over/);
});
