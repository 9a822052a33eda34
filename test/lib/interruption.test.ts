import t from "tap";
import { Interruption } from "../../dist/lib/async/interruption.js";

/** A promise that the test settles. */
function deferred<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  return { promise, resolve, reject };
}

t.test("work that nobody interrupts ends as it ends", async (t) => {
  const interruption = new Interruption();
  t.equal(await interruption.wait(async () => 1), 1);
  await t.rejects(
    interruption.wait(async () => {
      throw new Error("broken");
    }),
    /broken/,
  );
  t.equal(await interruption.wait(async () => 2), 2, "one after the other");
});

t.test("what is waited for is cut short, and nothing is begun afterwards", async (t) => {
  const interruption = new Interruption();
  const work = deferred<number>();
  const waiting = interruption.wait(() => work.promise);
  interruption.interrupt(new Error("first"));
  interruption.interrupt(new Error("second"));
  await t.rejects(waiting, /first/);
  let begun = false;
  await t.rejects(
    interruption.wait(async () => {
      begun = true;
    }),
    /first/,
    "the first call decides",
  );
  t.notOk(begun);
});

t.test("an interruption between two waits counts for the next one", async (t) => {
  const interruption = new Interruption();
  await interruption.wait(async () => 1);
  interruption.interrupt(undefined);
  await t.rejects(
    interruption
      .wait(async () => 2)
      .catch((error: unknown) => {
        t.equal(error, undefined, "also with no reason");
        throw new Error("rejected");
      }),
    /rejected/,
  );
});

t.test("what interrupted work fails with later is nobody's", async (t) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  t.teardown(() => process.off("unhandledRejection", onUnhandled));
  const interruption = new Interruption();
  const work = deferred<void>();
  const waiting = interruption.wait(() => work.promise);
  interruption.interrupt(new Error("over"));
  await t.rejects(waiting, /over/);
  work.reject(new Error("too late"));
  await new Promise((resolve) => setImmediate(resolve));
  t.same(unhandled, []);
});
