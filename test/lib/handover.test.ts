import t from "tap";
import { Handover } from "../../dist/lib/async/handover.js";

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

t.test("what is offered waits behind what is put, and is bounded", async (t) => {
  const handover = new Handover<string>();
  const iterator = handover[Symbol.asyncIterator]();
  const offers = Array.from({ length: 17 }, (_, n) => handover.offer(`offer ${n}`));
  t.equal(await offers[16], false, "an agent that does not read is not buffered for");
  void handover.put("acknowledgement");
  t.same(await iterator.next(), { value: "acknowledgement", done: false });
  t.same(await iterator.next(), { value: "offer 0", done: false });
  t.same(await iterator.next(), { value: "offer 1", done: false });
  t.equal(await offers[0], true);
  await iterator.return?.();
  t.equal(await offers[1], false, "it may not have been written");
  handover.end();
  t.equal(await offers[2], false);
  t.equal(await handover.offer("late"), false);
});
