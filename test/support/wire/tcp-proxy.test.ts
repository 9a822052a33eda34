import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import t from "tap";
import { eventually } from "../eventually.js";
import { startTcpProxy } from "./tcp-proxy.js";

t.test("a connection is cut while its end is passed on", async (t) => {
  const accepted: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}).resume();
    accepted.push(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const proxy = await startTcpProxy(t, port);
  const open = async (port: number) => {
    const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    client.on("error", () => {});
    const [socket] = (await once(server, "connection")) as [Socket];
    t.teardown(() => client.destroy());
    return { client, socket };
  };
  t.teardown(() => {
    for (const socket of accepted) socket.destroy();
    server.close();
  });

  const { client, socket } = await open(proxy.port);
  const signal = await open(port);
  signal.socket.once("data", () => proxy.cut());
  // Both arrive in one turn, first the end.
  client.end(() => signal.client.write("cut"));

  // After the end of what it reads, a server hears of a cut only when it writes.
  const isOpen = async () => !socket.destroyed && socket.write("still there?");
  t.notOk(await eventually(isOpen, (open) => !open));
});
