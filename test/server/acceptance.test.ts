import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import t, { type Test } from "tap";
import { Acceptance } from "../../dist/server/probes/acceptance.js";
import { startTestService } from "../support/service.js";

/** Listens on a free port, and hands each connection over; returns the port. */
async function listenTcp(t: Test, onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => onConnection(socket.on("error", () => {})));
  t.teardown(() => server.close());
  await once(server.listen(0), "listening");
  return (server.address() as AddressInfo).port;
}

t.test("one connection that breaks is no port that answers nobody", async (t) => {
  const service = await startTestService(t);
  let connections = 0;
  const port = await listenTcp(t, (socket) => {
    connections += 1;
    if (connections === 1) socket.destroy();
    else socket.pipe(connect(service.grpcPort)).pipe(socket);
  });
  t.equal(await new Acceptance({ port, isProxy: () => false }).findProblem(), undefined);
  t.equal(connections, 2);
});

t.test("a port that breaks every connection answers nobody", async (t) => {
  const port = await listenTcp(t, (socket) => socket.destroy());
  t.match(await new Acceptance({ port, isProxy: () => false }).findProblem(), /nobody is answered on port/);
});
