import t from "tap";
import { FairQueue } from "../../dist/lib/bounds/fair-queue.js";

t.test("sources take turns, and what comes from one stays in order", async (t) => {
  const queue = new FairQueue<string>();
  for (const item of ["a1", "a2", "a3", "b1", "c1"]) queue.push(item.slice(0, 1), item);
  t.equal(queue.length, 5);
  t.equal(queue.shift(), "a1");
  queue.push("b", "b2");
  const rest = Array.from({ length: 5 }, () => queue.shift());
  t.same(rest, ["b1", "c1", "a2", "b2", "a3"]);
  t.equal(queue.length, 0);
  t.equal(queue.shift(), undefined);
});

t.test("what is urgent comes next, and not twice before others", async (t) => {
  const queue = new FairQueue<string>();
  for (const item of ["a1", "b1"]) queue.push(item.slice(0, 1), item);
  for (const item of ["u1", "u2", "u3"]) queue.push("u", item, true);
  const all = Array.from({ length: 5 }, () => queue.shift());
  t.same(all, ["u1", "a1", "b1", "u2", "u3"]);
  t.equal(queue.length, 0);
});
