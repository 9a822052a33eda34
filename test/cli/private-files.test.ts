import { chmod, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { writeDevInstance } from "../../dist/cli/dev/dev-instance.js";
import { writeDevTls } from "../../dist/cli/dev/dev-tls.js";
import { makeDirectory } from "../support/service.js";

t.test("what holds a secret is its owner's alone, whatever was there before", async (t) => {
  const directory = await makeDirectory(t);
  const files = ["server.key", "dev.json"].map((name) => join(directory, name));
  for (const file of files) {
    await writeFile(file, "from an earlier time");
    await chmod(file, 0o644);
  }
  await writeDevTls(directory);
  await writeDevInstance(directory, { pid: 1, grpcAddress: "", caFile: "", token: "", environment: {} });
  for (const file of files) t.equal((await stat(file)).mode & 0o777, 0o600, file);
});
