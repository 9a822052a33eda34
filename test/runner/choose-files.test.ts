import t from "tap";
import { chooseFiles } from "./choose-files.js";

const SOURCES = [
  "app.test.ts",
  "cli/app.test.ts",
  "cli/start.slow.test.ts",
  "cli/start.test.ts",
  "docs.test.ts",
  "lib/batcher.test.ts",
];

t.test("files are chosen by their path, or a part of it", async (t) => {
  for (const [wanted, files] of [
    [[], ["docs.test.ts", "app.test.ts", "cli/app.test.ts", "cli/start.test.ts", "lib/batcher.test.ts"]],
    [[".slow."], ["cli/start.slow.test.ts"]],
    [["test-dist/app.test.js"], ["app.test.ts"]],
    [["test/app.test.ts"], ["app.test.ts"]],
    [["/a/checkout/test/lib/batcher.test.ts", "batcher"], ["lib/batcher.test.ts"]],
    [["app.test"], ["app.test.ts", "cli/app.test.ts"]],
    [
      ["lib/", "cli/"],
      ["cli/app.test.ts", "cli/start.slow.test.ts", "cli/start.test.ts", "lib/batcher.test.ts"],
    ],
  ] as const) {
    t.same(chooseFiles(SOURCES, wanted), files, `${wanted}`);
  }
  for (const nothing of ["lib/none.test.ts", "--grep=x"]) {
    t.throws(() => chooseFiles(SOURCES, [nothing]), { message: /no test file's path has/ });
  }
});
