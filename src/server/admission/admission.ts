import type { Socket } from "node:net";
import { FairQueue } from "../../lib/bounds/fair-queue.js";
import { addressSource } from "../../lib/formats/address-source.js";
import type { HandshakeFailure } from "../handshake-failure.js";
import type { IdleReason } from "../idle-sessions.js";
import type { MalformedReason } from "../requests/answer-malformed.js";
import { readFirstBytes } from "./first-bytes.js";
import type { Peers } from "./peers.js";
import { readProxyHeader } from "./proxy-header.js";

/** How many connections are let in, and from whom a PROXY header is taken. */
export interface AdmissionLimits {
  /** Open at one time. */
  maxConnections: number;
  /** Of one address (IPv6: /64); 0 for no limit. */
  maxPerAddress: number;
  /** In their TLS handshake at one time; the others wait. */
  maxHandshakes: number;
  /** Whether a connection from this address has to begin with a PROXY header. */
  isProxy: (address: string) => boolean;
}

/** How long connections may take, in milliseconds. */
export interface AdmissionTiming {
  /** For a PROXY header to come. */
  headerMs: number;
  /** To wait for their handshake: released agents give up after ten seconds. */
  waitMs: number;
  /** To be counted among the handshakes: one whose client is silent costs nothing, and holds nobody up. */
  slotMs: number;
}

/** What {@link Admission} needs. */
export interface AdmissionOptions {
  limits: AdmissionLimits;
  timing?: Partial<AdmissionTiming> | undefined;
  peers: Peers;
  /** Begins the TLS handshake. */
  startTls: (socket: Socket) => void;
  /** Told of a balancer's connection that does not say who it speaks for. */
  onFailure: (failure: HandshakeFailure) => void;
  /** Told of a connection that is not let in. */
  onTurnedAway: (event: { remoteAddress: string; reason: TurnedAwayReason }) => void;
}

/** Why a connection is closed. */
export type TurnedAwayReason =
  | "too many connections"
  | "too many of this address"
  | "waited too long"
  | "too many resets"
  | "too many pipelined requests"
  | "answer not read"
  | MalformedReason
  | IdleReason;

const TIMING: AdmissionTiming = { headerMs: 10_000, waitMs: 8_000, slotMs: 500 };
const PLAIN_HTTP = "this port takes TLS: use https://\n";
const PLAIN_HTTP_ANSWER = [
  "HTTP/1.1 400 Bad Request",
  "Content-Type: text/plain; charset=utf-8",
  `Content-Length: ${PLAIN_HTTP.length}`,
  "Connection: close",
  "",
  PLAIN_HTTP,
].join("\r\n");
const NO_HEADER = "the balancer sends no PROXY header";

interface Waiting {
  socket: Socket;
  since: number;
}

/**
 * The door of the agents' port. Connections are counted, say who they are, and go into their TLS handshake a few at a time:
 * a handshake costs more than anything else that a connection does, and a fleet that comes back in one instant would keep
 * the event loop from those that are served already. Addresses take turns, since a connection whose client is silent holds
 * its place among the handshakes for a moment: a hundred of them a second would shut out everybody else. Who has waited so long that it has given up is
 * not served any more, so that a storm ends instead of feeding itself.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #timing: AdmissionTiming;
  readonly #perAddress = new Map<string, number>();
  /** Connections whose handshake has begun and not ended, by their other end. */
  readonly #shaking = new Map<string, { socket: Socket; end: () => void }>();
  /** How many of them have a place. */
  #placesTaken = 0;
  readonly #waiting = new FairQueue<Waiting>();
  #open = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** Connections that wait for their handshake. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes a connection that was just made. */
  admit(socket: Socket): void {
    const { limits, peers } = this.#options;
    // Reset before it was looked at, as checks of balancers are: who it was cannot be told any more.
    if (socket.remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    if (this.#open >= limits.maxConnections) {
      this.#turnAway(socket, "too many connections");
      return;
    }
    this.#open += 1;
    socket.on("close", this.#onClosed);
    const isProxy = limits.isProxy(peers.addressOf(socket));
    if (isProxy) void this.#listenToProxy(socket);
    else if (this.#countAddress(socket)) this.#queue({ socket, since: performance.now() });
  }

  /** The handshake of a connection is done, or was given up. */
  handshakeDone(socket: Pick<Socket, "remoteAddress" | "remotePort">): void {
    this.#shaking.get(keyOf(socket))?.end();
  }

  /** Tells whoever spoke HTTP instead of shaking hands; the connection is closed after it. */
  answerPlainHttp(socket: Pick<Socket, "remoteAddress" | "remotePort">): void {
    this.#shaking.get(keyOf(socket))?.socket.write(PLAIN_HTTP_ANSWER);
  }

  readonly #onClosed = (): void => {
    this.#open -= 1;
  };

  /** Counts a connection among those of its address; turns it away when these are too many. */
  #countAddress(socket: Socket): boolean {
    const { limits } = this.#options;
    if (limits.maxPerAddress === 0) return true;
    const address = this.#sourceOf(socket);
    const count = this.#perAddress.get(address) ?? 0;
    if (count >= limits.maxPerAddress) {
      this.#turnAway(socket, "too many of this address");
      return false;
    }
    this.#perAddress.set(address, count + 1);
    socket.once("close", () => {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    return true;
  }

  async #listenToProxy(socket: Socket): Promise<void> {
    const { onFailure, peers } = this.#options;
    const since = performance.now();
    const fail = (reason: string) => {
      onFailure({ remoteAddress: peers.addressOf(socket), reason });
      socket.destroy();
    };
    const timer = setTimeout(() => {
      // Some balancers look only whether they can connect. Agents speak first: one for whom nothing comes is no agent.
      if (socket.bytesRead === 0) socket.destroy();
      else fail(NO_HEADER);
    }, this.#timing.headerMs);
    const result = await readFirstBytes(socket, (bytes) => {
      const judged = readProxyHeader(bytes);
      return "incomplete" in judged ? undefined : { judged, used: "header" in judged ? judged.header.length : 0 };
    });
    clearTimeout(timer);
    if (result === "closed") socket.destroy();
    else if (!("header" in result)) fail("problem" in result ? result.problem : NO_HEADER);
    else {
      const { address } = result.header;
      if (address !== undefined) peers.set(socket, address);
      if (this.#countAddress(socket)) this.#queue({ socket, since });
    }
  }

  #queue(waiting: Waiting): void {
    const { socket } = waiting;
    this.#waiting.push(this.#sourceOf(socket), waiting, this.#isOwn(socket));
    this.#startNext();
  }

  #startNext(): void {
    const { limits, startTls } = this.#options;
    while (this.#placesTaken < limits.maxHandshakes) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const { socket, since } = next;
      if (socket.destroyed) continue;
      if (performance.now() - since > this.#timing.waitMs) {
        this.#turnAway(socket, "waited too long");
        continue;
      }
      this.#takePlace(socket);
      startTls(socket);
    }
  }

  /** Gives the place back when the handshake has ended, or takes long; what is said to its client later is its own. */
  #takePlace(socket: Socket): void {
    const key = keyOf(socket);
    let hasPlace = true;
    this.#placesTaken += 1;
    const give = () => {
      if (!hasPlace) return;
      hasPlace = false;
      this.#placesTaken -= 1;
      this.#startNext();
    };
    const timer = setTimeout(give, this.#timing.slotMs).unref();
    const end = () => {
      clearTimeout(timer);
      socket.off("close", end);
      if (this.#shaking.get(key)?.socket === socket) this.#shaking.delete(key);
      give();
    };
    socket.once("close", end);
    this.#shaking.set(key, { socket, end });
  }

  /**
   * Whether a connection is of this machine, as is the service's look at its own port: behind thousands of others it would
   * come too late, and balancers would be told that nobody is answered, when most depends on it.
   */
  #isOwn(socket: Socket): boolean {
    const { remoteAddress = "", localAddress } = socket;
    // What a balancer of this machine brings is its clients'.
    const isBehind = this.#options.peers.addressOf(socket) !== remoteAddress.replace(/^::ffff:/, "");
    return remoteAddress === localAddress && !isBehind;
  }

  /** A machine has all addresses of an IPv6 network (/64) to itself. */
  #sourceOf(socket: Socket): string {
    return addressSource(this.#options.peers.addressOf(socket)).source;
  }

  #turnAway(socket: Socket, reason: TurnedAwayReason): void {
    const { peers, onTurnedAway } = this.#options;
    onTurnedAway({ remoteAddress: peers.addressOf(socket), reason });
    socket.destroy();
  }
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress} ${remotePort}`;
}
