import t from "tap";
import { walkJson } from "../../dist/lib/formats/json-walk.js";

const walk = (text: string) => walkJson(Buffer.from(text), { maxElements: 10 });

t.test("values are counted, and what is in strings is not", (t) => {
  t.same(walk('{"a":1,"b":[{},{}]}'), { elements: 7 });
  t.same(walk('"[[[{{{,,,\\"[[[[,,,,,,,"'), { elements: 1 });
  t.same(walk('["\\\\",1]'), { elements: 3 }, "an escaped backslash does not escape the quote after it");
  t.same(walk('"é[漢,"'), { elements: 1 });
  t.match(walk("[1,2,3,4,5,6,7,8,9,10]"), { problem: "too many elements", detail: /more than 10 values/ });
  t.match(walk("[".repeat(11)), { problem: "too many elements" });
  t.end();
});

t.test("what takes a parser long is refused", (t) => {
  const many = { maxElements: 100_000 };
  t.match(walkJson(Buffer.from("[".repeat(33)), many), { problem: "malformed", detail: /more than 32 deep/ });
  t.match(walkJson(Buffer.from(`${"[".repeat(32)}${"]".repeat(32)}`), many), { elements: 33 });
  for (const digit of ["7", "\\u0037"]) {
    t.same(walk(`"${digit.repeat(400)}"`), { elements: 1 });
    t.match(walk(`"${digit.repeat(401)}"`), { problem: "malformed", detail: /more than 400 digits/ });
  }
  t.match(walk(`{"${"n".repeat(300)}": 1}`), { problem: "malformed", detail: /name of more than 256 bytes/ });
  t.same(walk(`{"n":"${"n".repeat(300)}"}`), { elements: 2 }, "a value may be long");
  t.same(walk(`"${"\\u00e9".repeat(500)}"`), { elements: 1 }, "letters are no digits");
  t.match(walk(`${"7\\u0037".repeat(201)}`), { elements: 1 }, "outside of strings nothing is escaped");
  t.end();
});
