import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { rename, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { WatchedFiles } from "../../dist/lib/watched-files.js";
import { eventually } from "../support/eventually.js";
import { makeDirectory } from "../support/service.js";

t.test("a change is taken once it stands, a bad one is reported once, and what is in use stays", async (t) => {
  const directory = await makeDirectory(t);
  const [a, b] = [join(directory, "a"), join(directory, "b")];
  await Promise.all([writeFile(a, "a1"), writeFile(b, "b1")]);
  const applied: string[] = [];
  const problems: string[] = [];
  let offered = 0;
  const watched = new WatchedFiles({
    paths: [a, b],
    inUse: ["a1", "b1"],
    apply: (contents) => {
      offered += 1;
      if (contents.includes("bad")) throw new Error(`bad: ${contents}`);
      applied.push(contents.join());
    },
    onProblem: (error) => problems.push((error as Error).message),
    intervalMs: 5,
  });
  t.teardown(() => watched.stop());

  await writeFile(b, "bad");
  await eventually(
    async () => offered,
    (count) => count >= 5,
  );
  t.same(problems, ["bad: a1,bad"], "tried again and again, told once");
  await unlink(b);
  await eventually(
    async () => problems.length,
    (count) => count === 2,
  );
  t.match(problems[1], /ENOENT/);
  await writeFile(b, "b1");
  await writeFile(`${a}.new`, "a2");
  await rename(`${a}.new`, a);
  await eventually(
    async () => applied,
    ({ length }) => length === 1,
  );
  t.same(applied, ["a2,b1"]);

  await writeFile(join(directory, "other"), "a3");
  await symlink(join(directory, "other"), `${a}.link`);
  await rename(`${a}.link`, a);
  await eventually(
    async () => applied,
    ({ length }) => length === 2,
  );
  t.same(applied[1], "a3,b1", "a link that is switched counts as well");
  t.equal(problems.length, 2);
});

t.test("what is still being written is not taken", async (t) => {
  const path = join(await makeDirectory(t), "a");
  writeFileSync(path, "a000");
  const applied: string[] = [];
  const watched = new WatchedFiles({
    paths: [path],
    inUse: ["a000"],
    apply: ([contents = ""]) => void applied.push(contents),
    onProblem: (error) => t.fail(String(error)),
    intervalMs: 50,
  });
  t.teardown(() => watched.stop());
  // In this thread, so that no two looks pass without a write between them.
  let writes = 0;
  // Over what is there: a file that is emptied first is the same each time that somebody looks just then.
  const file = openSync(path, "r+");
  await new Promise<void>((resolve) => {
    const writing = setInterval(() => {
      writes += 1;
      writeSync(file, `a${String(writes).padStart(3, "0")}`, 0);
      if (writes < 100) return;
      clearInterval(writing);
      closeSync(file);
      resolve();
    }, 5);
  });
  await eventually(
    async () => applied.length,
    (count) => count > 0,
  );
  t.same(applied, ["a100"]);
});
