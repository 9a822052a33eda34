import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Agent, type AgentIdentity, createAgentKey, type Vitals } from "../../agent/index.js";
import { simulateWork, type WorkCounts } from "./simulated-work.js";

const GIB = 1024n ** 3n;
/** The percentiles are of this many newest heartbeats. */
const MAX_LATENCIES = 100_000;

/** What a simulation does. */
export interface SimulationOptions {
  agents: number;
  address: string;
  ca: string;
  token: string;
  heartbeatIntervalMs: number;
  /** Host names begin with it. */
  prefix: string;
  /** The agents start one after the other over this time, in milliseconds. */
  rampMs: number;
  /** They answer checks, queries and inventory tasks. */
  work: boolean;
}

/** What a simulation has counted. */
export interface SimulationReport extends WorkCounts {
  agents: number;
  enrolled: number;
  waitingForApproval: number;
  /** Enrolled, and a heartbeat was acknowledged. */
  gotThrough: number;
  streamsOpen: number;
  heartbeatsSent: number;
  heartbeatsAcknowledged: number;
  /** Milliseconds from sending to the acknowledgement; null before the first one. */
  latencyP50Ms: number | null;
  latencyP99Ms: number | null;
  errors: number;
  lastError: string | null;
}

/** Agents with keys of their own that hold real streams, each over its own connection. */
export class Simulation {
  readonly #agents: Agent[];
  readonly #latenciesMs: number[] = [];
  readonly #counts = { streamsOpen: 0, heartbeatsSent: 0, heartbeatsAcknowledged: 0, errors: 0 };
  readonly #workCounts: WorkCounts = { checksRun: 0, queriesAnswered: 0, inventoriesTaken: 0 };
  readonly #pending = new Set<string>();
  readonly #enrolled = new Set<string>();
  readonly #acknowledged = new Set<Agent>();
  #lastError: string | null = null;

  constructor(private readonly options: SimulationOptions) {
    const machines = new Machines(options.prefix);
    this.#agents = Array.from({ length: options.agents }, (_, index) => this.#createAgent(machines.describe(index)));
  }

  /** Starts the agents, one after the other. */
  async start(signal: AbortSignal): Promise<void> {
    const { rampMs } = this.options;
    const startedAt = performance.now();
    for (const [index, agent] of this.#agents.entries()) {
      const waitMs = (rampMs * index) / this.#agents.length - (performance.now() - startedAt);
      if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      agent.start();
    }
  }

  /** The ids of all that enrolled or wait for approval. */
  get agentIds(): readonly string[] {
    return [...new Set([...this.#enrolled, ...this.#pending])];
  }

  /** Ends the streams. */
  async stop(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
  }

  report(): SimulationReport {
    const sorted = Float64Array.from(this.#latenciesMs).sort();
    const percentile = (p: number) =>
      sorted.length === 0 ? null : Math.round((sorted[Math.ceil(p * sorted.length) - 1] ?? 0) * 10) / 10;
    return {
      agents: this.#agents.length,
      ...this.#counts,
      ...this.#workCounts,
      enrolled: this.#enrolled.size,
      waitingForApproval: this.#pending.size,
      gotThrough: this.#acknowledged.size,
      latencyP50Ms: percentile(0.5),
      latencyP99Ms: percentile(0.99),
      lastError: this.#lastError,
    };
  }

  #createAgent({ hostname, ipAddress }: Machine): Agent {
    const startedAt = Date.now();
    const { work, ...options } = this.options;
    const agent: Agent = new Agent({
      ...options,
      ...(work && { work: simulateWork(this.#workCounts) }),
      key: createAgentKey(),
      description: { hostname, version: "simulated", os: "linux", arch: "amd64", ipAddresses: [ipAddress] },
      readVitals: () => readVitals(ipAddress, startedAt),
      observer: {
        onPending: (agentId) => this.#pending.add(agentId),
        onEnrolled: ({ agentId }: AgentIdentity) => {
          this.#pending.delete(agentId);
          this.#enrolled.add(agentId);
        },
        onStreamOpened: () => {
          this.#counts.streamsOpen += 1;
        },
        onStreamClosed: () => {
          this.#counts.streamsOpen -= 1;
        },
        onHeartbeatSent: () => {
          this.#counts.heartbeatsSent += 1;
        },
        onAcknowledged: (latencyMs) => {
          this.#acknowledged.add(agent);
          this.#latenciesMs[this.#counts.heartbeatsAcknowledged % MAX_LATENCIES] = latencyMs;
          this.#counts.heartbeatsAcknowledged += 1;
        },
        onError: (error) => {
          this.#counts.errors += 1;
          this.#lastError = error instanceof Error ? error.message : String(error);
        },
      },
    });
    return agent;
  }
}

interface Machine {
  hostname: string;
  ipAddress: string;
}

/** Machines of one run: no other run has one of their names or addresses, or they would be taken for the same machines. */
class Machines {
  /** Forty random bits, as a unique local prefix is made (RFC 4193, 3.2). */
  readonly #run = randomBytes(5).toString("hex");

  constructor(private readonly prefix: string) {}

  describe(index: number): Machine {
    const run = this.#run;
    const [high, low] = [index >>> 16, index & 0xffff].map((part) => part.toString(16));
    return {
      hostname: `${this.prefix}-${run}-${String(index + 1).padStart(4, "0")}`,
      ipAddress: `fd${run.slice(0, 2)}:${run.slice(2, 6)}:${run.slice(6)}::1:${high}:${low}`,
    };
  }
}

function readVitals(ipAddress: string, startedAt: number): Vitals {
  const used = 40n * GIB;
  const total = 100n * GIB;
  return {
    cpuPercent: Math.random() * 100,
    memoryPercent: 30 + Math.random() * 40,
    diskPercent: 40,
    uptimeSeconds: BigInt(Math.floor((Date.now() - startedAt) / 1000)),
    timestampUnix: BigInt(Math.floor(Date.now() / 1000)),
    agentVersion: "simulated",
    os: "linux",
    osVersion: "Simulated Linux 1",
    arch: "amd64",
    disks: ["/", "/var"].map((mountPoint, index) => ({
      mountPoint,
      device: `/dev/vda${index + 1}`,
      fsType: "ext4",
      totalBytes: total,
      usedBytes: used,
      freeBytes: total - used,
      percentUsed: 40,
    })),
    networkInterfaces: [
      { name: "eth0", ipAddresses: [ipAddress], macAddress: "02:00:00:00:00:01", isUp: true },
      { name: "eth1", ipAddresses: [], macAddress: "02:00:00:00:00:02", isUp: false },
    ],
  };
}
