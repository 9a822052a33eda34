import t from "tap";
import { shareRunning } from "../../dist/lib/async/share-running.js";

t.test("who calls meanwhile shares the run, also when it fails", async (t) => {
  const ends: ((result: string | Error) => void)[] = [];
  const call = shareRunning(
    () =>
      new Promise<string>((resolve, reject) => {
        ends.push((result) => (result instanceof Error ? reject(result) : resolve(result)));
      }),
  );
  const [first, second] = [call(), call()];
  t.equal(ends.length, 1);
  ends[0]?.("one");
  t.same(await Promise.all([first, second]), ["one", "one"]);
  const [third, fourth] = [call(), call()];
  ends[1]?.(new Error("failed"));
  await t.rejects(third, /failed/);
  await t.rejects(fourth, /failed/);
  void call();
  t.equal(ends.length, 3);
});
