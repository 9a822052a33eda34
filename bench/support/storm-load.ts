/**
 * Agents of a storm, in a process of its own: each connects when it is told to, gives up after 10 s without a word from the
 * service, comes back after 1, 2, 4 … 60 s without jitter, as released agents do, and from its first acknowledgement on
 * sends a heartbeat in each interval. Once a second it is told how far they are.
 */
import { readFile } from "node:fs/promises";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { HeartbeatRequestSchema } from "#gen/agent/v1/heartbeat_pb.js";
import { envelopeOf } from "./envelope.js";
import { quantile } from "./figures.js";
import type { MadeAgent } from "./made-agents.js";

/** What a process of agents is told, before it is told to `"start"`; answered with `"ready"`. */
export interface StormTarget {
  port: number;
  ca: string;
  /** Of this machine: there are 28,000 ports for each. */
  localAddress: string;
  /** Between two heartbeats of an agent, in milliseconds. */
  everyMs: number;
}

/** How far the agents of a process are. */
export interface StormReport {
  /** That have had an acknowledgement on the stream that they hold. */
  served: number;
  /** That have ever had one. */
  everServed: number;
  attempts: number;
  /** Attempts that ended, by why. */
  failures: Record<string, number>;
  /** Acknowledgements of heartbeats after the first one, since the last report. */
  acknowledged: number;
  p50Ms: number;
  p99Ms: number;
  worstMs: number;
}

const PATIENCE_MS = 10_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const GOOD_STREAM_MS = 10_000;
const REPORT_MS = 1_000;

const agents: MadeAgent[] = JSON.parse(await readFile(process.argv[2] ?? "", "utf8"));
const failures: Record<string, number> = {};
let [served, everServed, attempts] = [0, 0, 0];
let waits: number[] = [];

function heartbeat(agentId: string): Buffer {
  const message = toBinary(
    HeartbeatRequestSchema,
    create(HeartbeatRequestSchema, { agentId, cpuPercent: 1, agentVersion: "v1", os: "linux", arch: "amd64" }),
  );
  return envelopeOf(message);
}

class StormAgent {
  readonly #context: SecureContext;
  #retryMs = FIRST_RETRY_MS;
  #hasBeenServed = false;

  constructor(
    private readonly agent: MadeAgent,
    private readonly target: StormTarget,
  ) {
    // It takes milliseconds, which a machine of its own would have.
    this.#context = createSecureContext({ ca: target.ca, cert: agent.certificatePem, key: agent.privateKeyPem });
  }

  start(): void {
    attempts += 1;
    const { agentId } = this.agent;
    const { port, localAddress, everyMs } = this.target;
    const startedAt = performance.now();
    const message = heartbeat(agentId);
    let isServed = false;
    let sentAt = 0;
    let timer: NodeJS.Timeout;
    let beat: NodeJS.Timeout | undefined;
    let stream: ClientHttp2Stream | undefined;
    let isOver = false;
    const tcp = connectTcp({ host: "127.0.0.1", port, localAddress });
    const socket = connectTls({
      socket: tcp,
      secureContext: this.#context,
      servername: "localhost",
      ALPNProtocols: ["h2"],
    });
    tcp.on("error", (error: NodeJS.ErrnoException) => end(error.code ?? "error")).on("close", () => end("closed"));
    let session: ClientHttp2Session | undefined;
    const end = (why: string) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      clearTimeout(beat);
      failures[why] = (failures[why] ?? 0) + 1;
      if (isServed) served -= 1;
      session?.destroy();
      socket.destroy();
      tcp.destroy();
      if (performance.now() - startedAt > GOOD_STREAM_MS && isServed) this.#retryMs = FIRST_RETRY_MS;
      setTimeout(() => this.start(), this.#retryMs);
      this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
    };
    const bePatient = () => {
      clearTimeout(timer);
      timer = setTimeout(() => end(isServed ? "no acknowledgement" : "gave up"), PATIENCE_MS);
    };
    const send = () => {
      sentAt = performance.now();
      stream?.write(message);
      bePatient();
    };
    bePatient();
    socket.on("error", (error: NodeJS.ErrnoException) => end(error.code ?? "error")).on("close", () => end("closed"));
    socket.once("secureConnect", () => {
      bePatient();
      session = connect("https://localhost", { createConnection: () => socket });
      session.on("error", () => end("error")).on("close", () => end("closed"));
      stream = session.request({
        ":method": "POST",
        ":path": "/agent.v1.IngestService/Heartbeat",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => {}).on("trailers", (trailers) => end(`status ${trailers["grpc-status"]}`));
      stream.on("data", () => {
        clearTimeout(timer);
        if (isServed) waits.push(performance.now() - sentAt);
        else {
          isServed = true;
          served += 1;
          if (!this.#hasBeenServed) everServed += 1;
          this.#hasBeenServed = true;
        }
        clearTimeout(beat);
        beat = setTimeout(send, everyMs);
      });
      send();
    });
  }
}

let ready: StormAgent[] = [];
process.on("message", (message: StormTarget | "start") => {
  if (message !== "start") {
    ready = agents.map((agent) => new StormAgent(agent, message));
    process.send?.("ready");
    return;
  }
  for (const agent of ready) agent.start();
  setInterval(() => {
    const report: StormReport = {
      served,
      everServed,
      attempts,
      failures,
      acknowledged: waits.length,
      p50Ms: quantile(waits, 0.5),
      p99Ms: quantile(waits, 0.99),
      worstMs: quantile(waits, 1),
    };
    waits = [];
    // Whoever it is for may have gone.
    process.send?.(report, undefined, undefined, () => {});
  }, REPORT_MS);
});
process.on("disconnect", () => process.exit());
