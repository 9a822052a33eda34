import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Test } from "tap";

/** A server that takes connections and never says a word: a database host whose process stands still. */
export interface SilentServer {
  port: number;
  /** Resolves with the next connection. */
  connection(): Promise<void>;
}

/** Starts one; it ends, with its connections, with the test. */
export async function startSilentServer(t: Test): Promise<SilentServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port: (server.address() as AddressInfo).port,
    connection: async () => void (await once(server, "connection")),
  };
}
