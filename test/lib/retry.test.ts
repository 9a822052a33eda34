import t from "tap";
import { abortable } from "../../dist/lib/async/abortable.js";
import { retry } from "../../dist/lib/async/retry.js";
import { groupBy } from "../../dist/lib/group-by.js";

const BACKOFF = { baseMs: 1, maxMs: 1 };

t.test("what passes is tried again, so often, and what does not pass is not", async (t) => {
  const failing = (failures: number, message: string) => {
    let tries = 0;
    const work = async () => {
      tries += 1;
      if (tries <= failures) throw new Error(`${message} ${tries}`);
      return tries;
    };
    return { work, tries: () => tries };
  };
  const options = {
    isPassing: (error: unknown) => /^passing/.test(String((error as Error).message)),
    backoff: BACKOFF,
  };

  t.equal(await retry(failing(2, "passing").work, { ...options, attempts: 3 }), 3);
  const always = failing(9, "passing");
  await t.rejects(retry(always.work, { ...options, attempts: 3 }), { message: "passing 3" }, "the last failure");
  t.equal(always.tries(), 3);
  const other = failing(9, "for good");
  await t.rejects(retry(other.work, { ...options, attempts: 3 }), { message: "for good 1" });
  t.equal(other.tries(), 1);
});

t.test("a promise is waited for until a signal says otherwise", async (t) => {
  const never = new Promise<never>(() => {});
  const told = new AbortController();
  const waiting = abortable(never, told.signal);
  told.abort(new Error("no longer"));
  await t.rejects(waiting, { message: "no longer" });
  await t.rejects(abortable(never, told.signal), { message: "no longer" }, "one that was aborted before");
  const { signal } = new AbortController();
  t.equal(await abortable(Promise.resolve(1), signal), 1);
  await t.rejects(abortable(Promise.reject(new Error("failed")), signal), { message: "failed" });
});

t.test("items are put together by what they have in common, in their order", async (t) => {
  const groups = groupBy([3, 1, 4, 1, 5, 9, 2, 6], (n) => n % 2 === 0);
  t.same(
    [...groups],
    [
      [false, [3, 1, 1, 5, 9]],
      [true, [4, 2, 6]],
    ],
  );
  t.equal(groupBy([], () => 1).size, 0);
});
