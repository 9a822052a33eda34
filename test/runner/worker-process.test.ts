import t from "tap";
import { WorkerProcess } from "./worker-process.js";

t.test("what comes of a file is told, whatever it does to its process", async (t) => {
  let worker = new WorkerProcess(process.env, 100);
  t.teardown(() => worker.close());
  const run = (name: string) => worker.run(`runner/fixtures/${name}.ts`);

  const mixed = await run("mixed");
  t.match(mixed, { passed: 2, skipped: 1, comments: ["# a remark"] });
  t.same(
    mixed.failures.map(({ name }) => name),
    ["outer > inner > numbers", "throws later > late", "throws later"],
  );
  t.match(mixed.failures[0]?.diagnostics, { at: { fileName: "test/runner/fixtures/mixed.ts" } });
  t.match(await run("empty"), { failures: [{ name: "tests nothing" }] });
  t.match(await run("missing"), { passed: 0, failures: [{ diagnostics: { reason: /Cannot find module/ } }] });
  const found = ["TCPServerWrap", "TCPSocketWrap", "TCPSocketWrap"];
  const socket = /^from port \d+ to 127.0.0.1 port \d+, 0 bytes read, 0 written$/;
  t.match(await run("listens"), { passed: 1, failures: [{ diagnostics: { found, sockets: [socket, socket] } }] });
  t.match(await run("passes"), { passed: 1, failures: [] }, "nothing of the others sticks to it");

  t.match(await run("exits"), { passed: 1, failures: [{ name: /unfinished/ }, { name: /exit code/ }] });
  t.notOk(worker.isAlive);
  worker = new WorkerProcess(process.env);
  t.match(await run("passes"), { passed: 1, failures: [] });
});
