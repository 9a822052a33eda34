import { Agent, type AgentIdentity, createAgentKey, type Vitals } from "../../agent/index.js";

/** Simulated agents start this far apart at most, so that a thousand do not enrol in one instant. */
const START_INTERVAL_MS = 5;
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
}

/** What a simulation has counted. */
export interface SimulationReport {
  agents: number;
  enrolled: number;
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
  readonly #counts = { enrolled: 0, streamsOpen: 0, heartbeatsSent: 0, heartbeatsAcknowledged: 0, errors: 0 };
  readonly #enrolled = new Set<string>();
  #lastError: string | null = null;

  constructor(options: SimulationOptions) {
    const run = Math.random().toString(36).slice(2, 6);
    this.#agents = Array.from({ length: options.agents }, (_, index) => this.#createAgent(options, run, index));
  }

  /** Starts the agents, one after the other. */
  async start(signal: AbortSignal): Promise<void> {
    for (const agent of this.#agents) {
      if (signal.aborted) return;
      agent.start();
      await new Promise((resolve) => setTimeout(resolve, START_INTERVAL_MS));
    }
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
      enrolled: this.#enrolled.size,
      latencyP50Ms: percentile(0.5),
      latencyP99Ms: percentile(0.99),
      lastError: this.#lastError,
    };
  }

  #createAgent(options: SimulationOptions, run: string, index: number): Agent {
    const { address, ca, token, heartbeatIntervalMs } = options;
    const ipAddress = `198.18.${(index >> 8) & 0xff}.${index & 0xff}`;
    const startedAt = Date.now();
    return new Agent({
      address,
      ca,
      token,
      heartbeatIntervalMs,
      key: createAgentKey(),
      description: {
        hostname: `sim-${run}-${String(index + 1).padStart(4, "0")}`,
        version: "simulated",
        os: "linux",
        arch: "amd64",
        ipAddresses: [ipAddress],
      },
      readVitals: () => readVitals(ipAddress, startedAt),
      observer: {
        onEnrolled: ({ agentId }: AgentIdentity) => this.#enrolled.add(agentId),
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
          this.#latenciesMs[this.#counts.heartbeatsAcknowledged % MAX_LATENCIES] = latencyMs;
          this.#counts.heartbeatsAcknowledged += 1;
        },
        onError: (error) => {
          this.#counts.errors += 1;
          this.#lastError = error instanceof Error ? error.message : String(error);
        },
      },
    });
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
