import { once } from "node:events";
import { connect, createServer } from "node:net";
import t from "tap";
import { waitPatiently } from "../../dist/lib/async/wait-patiently.js";

t.test("it calls back when the time has passed, and not when it was ended", async (t) => {
  const passed: string[] = [];
  waitPatiently(10, () => passed.push("ended"))();
  await new Promise<void>((resolve) => {
    const alive = setTimeout(() => {}, 10_000);
    waitPatiently(20, () => {
      passed.push("passed");
      clearTimeout(alive);
      resolve();
    });
  });
  t.same(passed, ["passed"]);
});

t.test("who answered while the process was held up is not taken for silent", async (t) => {
  const server = createServer((socket) => socket.end("answer")).listen(0);
  t.teardown(() => server.close());
  await once(server, "listening");
  const socket = connect((server.address() as { port: number }).port);
  await once(socket, "connect");
  let isSilent = false;
  const endWait = waitPatiently(50, () => {
    isSilent = true;
  });
  const heldUpUntil = performance.now() + 400;
  t.teardown(endWait);
  while (performance.now() < heldUpUntil);
  await once(socket, "data");
  endWait();
  t.equal(isSilent, false);
});
