import t, { type Test } from "tap";
import { type CloseStep, Lifetime, StartAborted } from "../../dist/lib/lifetime.js";

function createLifetime(t: Test, stopTimeoutMs = 10_000) {
  const steps: CloseStep[] = [];
  const lifetime = new Lifetime({ stopTimeoutMs, onStep: (step) => steps.push(step) });
  t.teardown(() => lifetime.stopNow());
  return { lifetime, steps, names: () => steps.map(({ name }) => name) };
}

/** A promise that somebody else settles. */
function deferred<T = void>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  return { promise, resolve, reject };
}

const never = () => new Promise<void>(() => {});

t.test("goes from starting to serving to draining to stopped, and closes in reverse order", async (t) => {
  const { lifetime, names } = createLifetime(t);
  t.equal(lifetime.state, "starting");
  t.equal(
    await lifetime.open(
      "first",
      async () => 1,
      (one) => void t.equal(one, 1),
    ),
    1,
  );
  lifetime.register("second", () => void t.equal(lifetime.state, "draining"));
  lifetime.serve();
  t.equal(lifetime.state, "serving");
  const [isClean, again] = await Promise.all([lifetime.stop(), lifetime.stop()]);
  t.ok(isClean && again);
  t.equal(lifetime.state, "stopped");
  t.same(names(), ["second", "first"]);
  t.throws(() => lifetime.serve(), StartAborted, "there is no way back");
  await t.rejects(
    lifetime.open("late", async () => 1),
    StartAborted,
  );
});

t.test("a step that fails or does not end does not keep the others from running", async (t) => {
  const { lifetime, steps } = createLifetime(t);
  lifetime.register("last", () => {});
  lifetime.register("hangs", never, { timeoutMs: 10 });
  lifetime.register("throws", () => {
    throw new Error("thrown");
  });
  lifetime.register("rejects", () => Promise.reject(new Error("rejected")));
  lifetime.serve();
  t.equal(await lifetime.stop(), false);
  t.match(steps, [
    { name: "rejects", error: { message: "rejected" } },
    { name: "throws", error: { message: "thrown" } },
    { name: "hangs", error: { message: "not done after 10 ms" } },
    { name: "last", error: undefined },
  ]);
});

t.test("all steps together have one deadline, and what is vital its own time", async (t) => {
  const { lifetime, steps } = createLifetime(t, 50);
  const closed: string[] = [];
  lifetime.register(
    "vital",
    async (hurry) => {
      t.ok(hurry.aborted, "it is told to hurry");
      await new Promise((resolve) => setTimeout(resolve, 50));
      closed.push("vital");
    },
    { vital: true },
  );
  lifetime.register("quick", async () => void closed.push("quick"));
  for (const name of ["a", "b", "c"]) lifetime.register(name, never, { timeoutMs: 60_000 });
  lifetime.serve();
  const startedAt = performance.now();
  t.equal(await lifetime.stop(), false);
  t.ok(performance.now() - startedAt < 5_000);
  t.same(closed, ["quick", "vital"]);
  t.match(
    steps.map(({ name, error }) => [name, error === undefined]),
    [
      ["c", false],
      ["b", false],
      ["a", false],
      ["quick", true],
      ["vital", true],
    ],
  );
});

t.test("what hangs is not waited for after the second word", async (t) => {
  const { lifetime, names } = createLifetime(t, 60_000);
  const killed = deferred();
  lifetime.register(
    "vital",
    (hurry) => {
      hurry.addEventListener("abort", () => killed.resolve(), { once: true });
      if (hurry.aborted) killed.resolve();
      return killed.promise;
    },
    { vital: true },
  );
  lifetime.register("hangs", never, { timeoutMs: 60_000 });
  lifetime.serve();
  const stopped = lifetime.stop();
  t.equal(await lifetime.stopNow(), false);
  t.equal(await stopped, false);
  t.same(names(), ["hangs", "vital"]);
});

t.test("a start can be given up while a resource is being opened", async (t) => {
  const { lifetime, names } = createLifetime(t);
  const closed: string[] = [];
  await lifetime.open(
    "first",
    async () => {},
    () => void closed.push("first"),
  );
  const opening = deferred<string>();
  const told = deferred();
  const opened = lifetime.open(
    "second",
    (ending) => {
      ending.addEventListener("abort", () => told.resolve());
      return opening.promise;
    },
    (resource) => void closed.push(resource),
  );
  const stopped = lifetime.stop();
  await t.rejects(opened, StartAborted, "at once");
  await told.promise;
  opening.resolve("second");
  t.equal(await stopped, true);
  t.same(closed, ["second", "first"], "what was opened late is closed as well, and before the others");
  t.same(names(), ["second", "first"]);
});

t.test("what is opened after everything stopped is closed too", async (t) => {
  const { lifetime } = createLifetime(t);
  const opening = deferred();
  const closed = deferred();
  const opened = lifetime.open(
    "late",
    () => opening.promise,
    () => closed.resolve(),
  );
  await Promise.all([t.rejects(opened, StartAborted), lifetime.stopNow()]);
  opening.resolve();
  await closed.promise;
});

t.test("of a start that is given up only what is vital has to be closed", async (t) => {
  for (const vital of [false, true]) {
    const { lifetime } = createLifetime(t);
    lifetime.register("hangs", never, { vital, timeoutMs: 10 });
    t.equal(await lifetime.stop(), !vital);
  }
});

t.test("an opening that fails is told to who opens, and is nothing to close", async (t) => {
  const { lifetime, steps } = createLifetime(t);
  const failing = lifetime.open(
    "fails",
    () => Promise.reject(new Error("no")),
    () => void t.fail("it was never open"),
  );
  await t.rejects(failing, { message: "no" });
  const throwing = () => {
    throw new Error("at once");
  };
  await t.rejects(lifetime.open("throws", throwing), { message: "at once" });
  t.equal(await lifetime.stop(), true);
  t.match(steps, [{ name: "fails", error: undefined }]);
});
