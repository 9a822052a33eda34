import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Test } from "tap";

/** Turns of the event loop in which what came last is read, answered, and the answer written. */
const QUIET_TURNS = 3;

/** Which way data goes through a proxy. */
export type Direction = "to server" | "to client";

/** A TCP proxy in front of a server, with which a test lets the network misbehave. It ends with the test. */
export interface TcpProxy {
  readonly port: number;
  /** How many connections clients hold through it. */
  readonly open: number;
  /** The same URL, through the proxy. */
  through(url: string): string;
  /** Holds data back, as a network that lost the way does: nobody is told. Without a direction both ways. */
  silence(direction?: Direction): void;
  /**
   * The other machine loses its power: what is sent is lost, and nobody is told, also not that somebody hung up. The
   * connections of this moment are dead for good; new ones are taken, and hear nothing before {@link TcpProxy.resume}.
   */
  losePower(): void;
  /** Lets data through again, beginning with what was held back. */
  resume(): void;
  /** Resets every connection, and forgets what was held back. */
  cut(): void;
  /** Lets so many more bytes through in that direction, and resets the connection that brings the next one. */
  cutAfter(bytes: number, direction: Direction): void;
  /** Resets the connection that brings this text next in that direction, before it is passed on. */
  cutAt(text: string, direction: Direction): void;
  /** Whether new connections are reset at once. */
  refuse(refuse: boolean): void;
}

/** What the connections of a proxy have in common. */
interface Network {
  silenced: Set<Direction>;
  hasPower: boolean;
  cutAfter: { bytes: number; direction: Direction } | undefined;
  cutAt: { text: string; direction: Direction } | undefined;
}

/** Starts a proxy in front of a port of this machine. */
export async function startTcpProxy(t: Test, targetPort: number): Promise<TcpProxy> {
  const network: Network = { silenced: new Set(), hasPower: true, cutAfter: undefined, cutAt: undefined };
  const connections = new Set<Connection>();
  let isRefusing = false;

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    client.on("error", () => {});
    if (isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const server = createConnection({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const connection = new Connection(client, server, network, () => connections.delete(connection));
    connections.add(connection);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const cut = () => {
    for (const connection of connections) connection.reset();
  };
  t.teardown(() => {
    cut();
    listener.close();
  });
  return {
    port,
    get open() {
      return [...connections].filter((connection) => connection.isOpen).length;
    },
    through: (url) => {
      const changed = new URL(url);
      changed.hostname = "127.0.0.1";
      changed.port = String(port);
      return changed.href;
    },
    silence: (direction) => {
      for (const each of direction ? [direction] : (["to server", "to client"] as const)) network.silenced.add(each);
    },
    losePower: () => {
      network.hasPower = false;
      for (const connection of connections) connection.die();
    },
    resume: () => {
      network.silenced.clear();
      network.hasPower = true;
      for (const connection of connections) connection.resume();
    },
    cut,
    cutAfter: (bytes, direction) => {
      network.cutAfter = { bytes, direction };
    },
    cutAt: (text, direction) => {
      network.cutAt = { text, direction };
    },
    refuse: (refuse) => {
      isRefusing = refuse;
    },
  };
}

/** A client's connection, and the one to the server that belongs to it. */
class Connection {
  readonly #held: (() => void)[] = [];
  #isDead: boolean;

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
    private readonly network: Network,
    onClosed: () => void,
  ) {
    this.#isDead = !network.hasPower;
    this.#pass(client, server, "to server");
    this.#pass(server, client, "to client");
    for (const socket of [client, server]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        if (!this.#isDead) this.#destroy();
        if (client.destroyed && server.destroyed) onClosed();
      });
    }
  }

  get isOpen(): boolean {
    return !this.client.destroyed;
  }

  die(): void {
    this.#isDead = true;
  }

  resume(): void {
    for (const pass of this.#held.splice(0)) pass();
  }

  /** From now on nothing passes any more. */
  reset(): void {
    this.#isDead = true;
    void this.#resetInPeace();
  }

  /**
   * All of a test is one process, where whoever was sent something last would mostly be answering it. Node never closes a
   * socket that is reset while its end is under way, and one of TLS that is reset between two writes never hears of it (nodejs/node
   * issue 55804).
   */
  async #resetInPeace(): Promise<void> {
    for (let turn = 0; turn < QUIET_TURNS; turn += 1) await nextTurn();
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }

  #pass(from: Socket, to: Socket, direction: Direction): void {
    from.on("data", (data) => {
      if (this.#isDead) return;
      if (this.network.silenced.has(direction)) this.#held.push(() => this.#write(from, to, direction, data));
      else this.#write(from, to, direction, data);
    });
    to.on("drain", () => from.resume());
    from.on("end", () => {
      if (this.#isDead) from.destroy();
      else if (this.network.silenced.has(direction)) this.#destroy();
      else to.end();
    });
  }

  #write(from: Socket, to: Socket, direction: Direction, data: Buffer): void {
    const { cutAfter, cutAt } = this.network;
    if (cutAt?.direction === direction && data.includes(cutAt.text)) {
      this.network.cutAt = undefined;
      this.reset();
      return;
    }
    if (cutAfter?.direction === direction && cutAfter.bytes < data.length) {
      this.network.cutAfter = undefined;
      to.write(data.subarray(0, cutAfter.bytes), () => this.reset());
      return;
    }
    if (cutAfter?.direction === direction) cutAfter.bytes -= data.length;
    if (!to.write(data)) from.pause();
  }

  #destroy(): void {
    this.client.destroy();
    this.server.destroy();
  }
}
