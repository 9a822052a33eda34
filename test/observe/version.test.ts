import { readFile } from "node:fs/promises";
import t from "tap";
import { runCommand } from "../support/commands/cli.js";
import { createTestLog } from "../support/log.js";
import { startTestService } from "../support/service.js";

const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));

t.test("the version is that of the package: on the command line, in the first log line, and on /healthz", async (t) => {
  t.match(version, /^\d+\.\d+\.\d+/);
  t.same(await runCommand({}, ["--version"]), { exitCode: 0, output: version, errors: "", progress: [] });

  const { logger, lines } = createTestLog();
  const { httpPort } = await startTestService(t, { logger });
  t.match(lines[0], { msg: "starting", version, nodeVersion: process.version });
  const health = () => fetch(`http://localhost:${httpPort}/healthz`);
  t.equal((await health()).headers.get("server"), `ct-ops-ingest/${version}`);
});
