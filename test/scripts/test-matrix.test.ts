import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import t from "tap";

const SCRIPT = fileURLToPath(new URL("../../scripts/test-matrix.mjs", import.meta.url));

t.test("a combination that there is not is named before anything is installed", async (t) => {
  for (const wrong of ["pg13/node20", "pg14/node18", "pg18/node"]) {
    const child = spawn(process.execPath, [SCRIPT, "all", wrong], { stdio: ["ignore", "pipe", "pipe"] });
    t.teardown(() => child.kill("SIGKILL"));
    const [output, errors, [exitCode]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit"),
    ]);
    t.equal(exitCode, 2);
    t.equal(output, "");
    t.match(errors, new RegExp(`^error: there is no ${wrong}; choose of pg14/node20, .*pg18/node24\n$`));
  }
});
