import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import type { Test } from "tap";

/** Which way data goes through a proxy. */
export type Direction = "to server" | "to client";

/** A TCP proxy in front of a server, with which a test lets the network misbehave. It ends with the test. */
export interface TcpProxy {
  readonly port: number;
  /** How many connections go through it. */
  readonly open: number;
  /** The same URL, through the proxy. */
  through(url: string): string;
  /** Holds data back, as a network that lost the way does: nobody is told. Without a direction both ways. */
  silence(direction?: Direction): void;
  /** Lets data through again, beginning with what was held back. */
  resume(): void;
  /** Resets every connection, and forgets what was held back. */
  cut(): void;
  /** Whether new connections are reset at once. */
  refuse(refuse: boolean): void;
}

/** Starts a proxy in front of a port of this machine. */
export async function startTcpProxy(t: Test, targetPort: number): Promise<TcpProxy> {
  const pairs = new Set<{ client: Socket; server: Socket }>();
  const silenced = new Set<Direction>();
  let isRefusing = false;

  const listener = createServer((client) => {
    client.on("error", () => {});
    if (isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const server = createConnection(targetPort, "127.0.0.1");
    server.on("error", () => {});
    const pair = { client, server };
    pairs.add(pair);
    pass(client, server, () => silenced.has("to server"));
    pass(server, client, () => silenced.has("to client"));
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    client.once("close", end);
    server.once("close", end);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as { port: number };
  const cut = () => {
    for (const { client, server } of pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  };
  t.teardown(() => {
    cut();
    listener.close();
  });
  return {
    port,
    get open() {
      return pairs.size;
    },
    through: (url) => {
      const changed = new URL(url);
      changed.hostname = "127.0.0.1";
      changed.port = String(port);
      return changed.href;
    },
    silence: (direction) => {
      for (const each of direction ? [direction] : (["to server", "to client"] as const)) silenced.add(each);
    },
    resume: () => {
      silenced.clear();
      for (const { client, server } of pairs) {
        client.emit("resumed");
        server.emit("resumed");
      }
    },
    cut,
    refuse: (refuse) => {
      isRefusing = refuse;
    },
  };
}

function pass(from: Socket, to: Socket, isSilenced: () => boolean): void {
  let held: Buffer[] = [];
  from.on("data", (data) => {
    if (isSilenced()) held.push(data);
    else to.write(data);
  });
  from.on("resumed", () => {
    if (isSilenced()) return;
    for (const data of held) to.write(data);
    held = [];
  });
  from.on("end", () => {
    if (!isSilenced()) to.end();
  });
}
