import t from "tap";
import { groupLookups } from "../../dist/lib/async/group-lookups.js";

t.test("what is asked for while a lookup is under way is looked up together, in the next one", async (t) => {
  const lookups: { keys: readonly string[]; finish: () => void }[] = [];
  let started = () => {};
  const find = groupLookups(
    (keys: readonly string[]) =>
      new Promise<string[]>((resolve) => {
        lookups.push({ keys, finish: () => resolve(keys.map((key) => key.toUpperCase())) });
        started();
      }),
  );
  const nextStart = () => new Promise<void>((resolve) => (started = resolve));

  const firstStart = nextStart();
  const first = find("a");
  await firstStart;
  const later = Promise.all([find("b"), find("a"), find("b")]);
  t.same(
    lookups.map(({ keys }) => keys),
    [["a"]],
  );
  const secondStart = nextStart();
  lookups[0]?.finish();
  t.equal(await first, "A");
  await secondStart;
  t.same(lookups[1]?.keys, ["b", "a", "b"], "also what was under way when it was asked for");
  lookups[1]?.finish();
  t.same(await later, ["B", "A", "B"]);
});

t.test("a lookup that fails fails those it was for", async (t) => {
  const find = groupLookups(async (keys: readonly string[]) => {
    if (keys.includes("bad")) throw new Error("no database");
    return keys;
  });
  const settled = await Promise.allSettled([find("bad"), find("good")]);
  t.same(
    settled.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  t.equal(await find("good"), "good");
});
