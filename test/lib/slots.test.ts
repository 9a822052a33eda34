import t from "tap";
import { Slots } from "../../dist/lib/bounds/slots.js";

const NEVER = new AbortController().signal;

/** Work that goes on until it is told to end. */
function work() {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { end, run: () => ended };
}

/** Lets everything go on that waits for nothing from outside. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

t.test("so many work at a time, in the order they came, also after one failed", async (t) => {
  const slots = new Slots(2);
  const works = Array.from({ length: 5 }, work);
  const begun: number[] = [];
  const results = works.map(({ run }, index) =>
    slots.run(NEVER, async () => {
      begun.push(index);
      await run();
      if (index === 0) throw new Error("failed");
      return index;
    }),
  );
  await settle();
  t.same(begun, [0, 1]);
  works[1]?.end();
  await settle();
  t.same(begun, [0, 1, 2]);
  works[0]?.end();
  await t.rejects(results[0] as Promise<number>, { message: "failed" });
  await settle();
  t.same(begun, [0, 1, 2, 3]);
  for (const { end } of works) end();
  t.same(await Promise.all(results.slice(1)), [1, 2, 3, 4]);
});

t.test("who gives up waiting takes no place", async (t) => {
  const slots = new Slots(1);
  const first = work();
  const running = slots.run(NEVER, first.run);
  const giving = new AbortController();
  const given = slots.run(giving.signal, async () => t.fail("it began"));
  const last = slots.run(NEVER, async () => "last");
  giving.abort(new Error("nobody waits"));
  await t.rejects(given, { message: "nobody waits" });
  await t.rejects(
    slots.run(AbortSignal.abort(new Error("too late")), async () => t.fail("it began")),
    { message: "too late" },
  );
  first.end();
  await running;
  t.equal(await last, "last");
  t.equal(await slots.run(NEVER, async () => "one more"), "one more", "no place was lost");
});
