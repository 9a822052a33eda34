import t from "tap";
import { createId } from "../../dist/lib/ids.js";

const COUNT = 150_000;

const ids = Array.from({ length: COUNT }, createId);

t.test("ids have the platform's form, and none comes twice", async (t) => {
  t.same(
    ids.filter((id) => !/^[a-z][a-z0-9]{23}$/.test(id)),
    [],
  );
  t.equal(new Set(ids).size, COUNT);
});

t.test("every character is as likely as another", async (t) => {
  for (const [what, characters, kinds] of [
    ["the first one", ids.map((id) => id.slice(0, 1)), 26],
    ["those after it", ids.map((id) => id.slice(1)), 36],
  ] as const) {
    const counts = new Map<string, number>();
    let all = 0;
    for (const character of characters.join("")) {
      counts.set(character, (counts.get(character) ?? 0) + 1);
      all += 1;
    }
    const expected = all / kinds;
    t.equal(counts.size, kinds, what);
    // Six standard deviations. The remainder of a byte alone would make some of them eight or twelve percent likelier.
    const strayed = [...counts].filter(([, count]) => Math.abs(count - expected) > 6 * Math.sqrt(expected));
    t.same(strayed, [], `${what}: ${Math.round(expected)} of each are expected`);
  }
});
