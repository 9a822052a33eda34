import t from "tap";
import { ByteBudget } from "../../dist/lib/bounds/byte-budget.js";

t.test("who waits longest for the rest of something makes room for the others", (t) => {
  const budget = new ByteBudget(100);
  const cut: string[] = [];
  const open = (name: string) => budget.open(() => cut.push(name));
  const slowest = open("slowest");
  const slow = open("slow");
  t.ok(slowest.hold(40));
  t.ok(slow.hold(40));
  t.ok(open("quick").hold(50));
  t.same(cut, ["slowest"]);
  t.equal(budget.held, 90);
  t.notOk(slowest.hold(1), "who was cut off holds nothing any more");

  slow.settle();
  t.ok(slow.hold(10));
  t.ok(open("next").hold(50));
  t.same(cut, ["slowest", "quick"], "what has arrived stays");
  t.notOk(slow.hold(60), "nor does it make room for more than there is");
  t.same(cut, ["slowest", "quick", "next"]);
  slow.release();
  t.equal(budget.held, 0);
  t.end();
});

t.test("nobody makes room for itself, and what is given back is there for others", (t) => {
  const budget = new ByteBudget(100);
  const cut: string[] = [];
  const first = budget.open(() => cut.push("first"));
  t.ok(first.hold(60));
  t.notOk(first.hold(60));
  t.same(cut, []);
  first.release();
  t.ok(first.hold(100), "for the next one");
  const second = budget.open(() => cut.push("second"));
  t.ok(second.hold(1));
  t.same(cut, ["first"]);
  second.close();
  t.notOk(second.hold(1));
  t.equal(budget.held, 0);
  t.end();
});
