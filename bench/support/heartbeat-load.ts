/**
 * Agents: each has its own mTLS connection and its stream, and sends the next heartbeat as soon as the one before is
 * acknowledged, or at its own pace. A process of its own, on `node:http2` with hand-written framing, so that it costs little.
 *
 * It is told which service to open its streams to, and then, again and again, how long to send. It tells when it has begun
 * to measure, and then what came of it.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { setTimeout } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import type { AgentIdentity } from "../../dist/agent/index.js";
import { ENVELOPE_BYTES, envelopeOf } from "./envelope.js";
import { quantile } from "./figures.js";

/** The service to open a stream to for each agent; answered with `"open"`. */
export interface LoadTarget {
  port: number;
  ca: string;
}

/** What an agent opens its stream with. */
export type LoadAgent = Pick<AgentIdentity, "agentId" | "accessToken" | "certificatePem" | "privateKeyPem">;

/** How long to send; answered with `"measuring"` after the first part, and with a {@link LoadResult} after the second. */
export interface LoadTurn {
  warmUpMs: number;
  measureMs: number;
  /** How often each agent sends, in milliseconds; as soon as it was acknowledged unless given. */
  everyMs?: number;
}

/** What came of it. */
export interface LoadResult {
  acknowledged: number;
  elapsedMs: number;
  /** From sending to the acknowledgement, in milliseconds. */
  p50Ms: number;
  p99Ms: number;
  /** The load's own processor time. */
  cpuMs: number;
}

/** Vitals change with every heartbeat, the inventory does not. */
const VARIANTS = 16;

const identities: LoadAgent[] = JSON.parse(await readFile(process.argv[2] ?? "", "utf8"));
let acknowledged = 0;
let waits: number[] = [];

function heartbeat(agentId: string, variant: number): Buffer {
  const used = BigInt(variant);
  const message = toBinary(
    HeartbeatRequestSchema,
    create(HeartbeatRequestSchema, {
      agentId,
      cpuPercent: variant,
      memoryPercent: 40 + variant,
      diskPercent: 50,
      uptimeSeconds: 1_000n + used,
      timestampUnix: 1_790_000_000n + used,
      agentVersion: "v1.2.3",
      os: "linux",
      osVersion: "Debian 12",
      arch: "amd64",
      disks: ["/", "/var", "/home"].map((mountPoint) => ({
        mountPoint,
        device: `/dev/disk${mountPoint}`,
        fsType: "ext4",
        totalBytes: 500_000_000_000n,
        usedBytes: 200_000_000_000n,
        freeBytes: 300_000_000_000n,
        percentUsed: 40,
      })),
      networkInterfaces: ["eth0", "eth1"].map((name, index) => ({
        name,
        ipAddresses: [`10.1.${index}.7`, `fe80::${index}`],
        macAddress: "02:00:00:00:00:07",
        isUp: true,
      })),
    }),
  );
  return envelopeOf(message);
}

/** One agent's stream: it sends while it is told to, and waits for each acknowledgement. */
class Agent {
  readonly #heartbeats: Buffer[];
  readonly #stream: ClientHttp2Stream;
  #next = 0;
  #missing = ENVELOPE_BYTES;
  #isHeader = true;
  #sentAt = 0;
  #onIdle: () => void = () => {};

  private constructor(session: ClientHttp2Session, { agentId }: LoadAgent) {
    this.#heartbeats = Array.from({ length: VARIANTS }, (_, variant) => heartbeat(agentId, variant));
    this.#stream = session.request({
      ":method": "POST",
      ":path": "/agent.v1.IngestService/Heartbeat",
      "content-type": "application/grpc",
      te: "trailers",
    });
    this.#stream.on("trailers", (trailers) => {
      throw new Error(`a stream ended: ${JSON.stringify(trailers)}`);
    });
    this.#stream.on("data", (piece: Buffer) => this.#read(piece));
  }

  static async open(identity: LoadAgent, { port, ca }: LoadTarget): Promise<Agent> {
    const { certificatePem: cert, privateKeyPem: key } = identity;
    const session = connect(`https://localhost:${port}`, { ca, cert, key });
    await once(session, "connect");
    const agent = new Agent(session, identity);
    const idle = agent.idle();
    agent.#stream.write(heartbeat(identity.accessToken, 0));
    await idle;
    return agent;
  }

  send(): void {
    this.#sentAt = performance.now();
    this.#stream.write(this.#heartbeats[this.#next++ % VARIANTS]);
  }

  /** Resolves when the heartbeat under way is acknowledged and no other one follows. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Counts envelopes; what is in them is not looked at. */
  #read(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      const taken = Math.min(this.#missing, piece.length - at);
      at += taken;
      this.#missing -= taken;
      if (this.#missing > 0) return;
      // An acknowledgement is two bytes.
      this.#missing = this.#isHeader ? (piece[at - 1] ?? 0) : ENVELOPE_BYTES;
      this.#isHeader = !this.#isHeader;
      if (!this.#isHeader) continue;
      acknowledged += 1;
      waits.push(performance.now() - this.#sentAt);
      if (isSending) this.send();
      else this.#onIdle();
    }
  }
}

const agents: Agent[] = [];
let isSending = false;

async function open(target: LoadTarget): Promise<void> {
  for (let begin = 0; begin < identities.length; begin += 16) {
    agents.push(
      ...(await Promise.all(identities.slice(begin, begin + 16).map((identity) => Agent.open(identity, target)))),
    );
  }
  process.send?.("open");
}

/** Spread over the time, as agents are that were started one by one. */
function sendAtPace(everyMs: number): () => void {
  const timers = agents.map((agent, index) => {
    const timer = { handle: undefined as NodeJS.Timeout | undefined };
    const tick = () => {
      timer.handle = globalThis.setTimeout(tick, everyMs);
      agent.send();
    };
    timer.handle = globalThis.setTimeout(tick, (everyMs * index) / agents.length);
    return timer;
  });
  return () => {
    for (const { handle } of timers) clearTimeout(handle);
  };
}

async function run({ warmUpMs, measureMs, everyMs }: LoadTurn): Promise<void> {
  let stop = () => {};
  if (everyMs !== undefined) stop = sendAtPace(everyMs);
  else {
    isSending = true;
    for (const agent of agents) agent.send();
  }
  await setTimeout(warmUpMs);
  waits = [];
  const before = { acknowledged, at: performance.now(), cpu: process.cpuUsage() };
  process.send?.("measuring");
  await setTimeout(measureMs);
  const { user, system } = process.cpuUsage(before.cpu);
  const measured = {
    acknowledged: acknowledged - before.acknowledged,
    elapsedMs: performance.now() - before.at,
    cpuMs: (user + system) / 1_000,
    p50Ms: quantile(waits, 0.5),
    p99Ms: quantile(waits, 0.99),
  };
  stop();
  const idle = isSending ? agents.map((agent) => agent.idle()) : [];
  isSending = false;
  process.send?.("measured");
  await Promise.all(idle);
  process.send?.(measured satisfies LoadResult);
}

process.on("message", (message: LoadTarget | LoadTurn) => {
  void ("port" in message ? open(message) : run(message));
});
process.on("disconnect", () => process.exit());
