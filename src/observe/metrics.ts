import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { createTurnedAwayCounter } from "./door-metrics.js";
import { VERSION } from "./version.js";
import { WorkMetrics } from "./work-metrics.js";

/** What is looked up whenever somebody asks; each gauge has the value its source has at that moment. */
export interface MetricSources {
  /** Heartbeat streams. */
  sessions(): number;
  /** Open connections of the agents' port, whatever is under way on them. */
  connections(): number;
  /** Those of them that wait for their TLS handshake. */
  waitingConnections(): number;
  /** Whether the database answers, as `/healthz` tells it. */
  isDatabaseUp(): boolean;
  /** Heartbeats and messages that are held and not stored, in bytes. */
  waitingBytes(): number;
  /** When certificates that the operator has to renew expire, by what they are. */
  certificatesExpireAt(): ReadonlyMap<string, Date>;
  /** Client certificates of agents that expire within so many days; some minutes old. */
  clientCertificatesExpiring(): Promise<ReadonlyMap<number, number>>;
  /** How the queue stands; undefined when there is none. */
  queue(): QueueMetrics | undefined;
}

/** Of an instance, and of the outbox that all instances have in common. */
export interface QueueMetrics {
  isConnected: boolean;
  waitingMessages: number;
  oldestAgeS: number;
  setAsideMessages: number;
  inFlight: number;
  confirmed: number;
}

/** The metrics of one process at one moment; may be sent to another process. */
export type MetricsSnapshot = object[];

/** Metrics as Prometheus reads them. */
export interface MetricsText {
  contentType: string;
  text: string;
}

/** The metrics of several processes as one: what is the same in all of them is said once, the rest is added up. */
export async function renderMetrics(snapshots: readonly MetricsSnapshot[]): Promise<MetricsText> {
  const registry = AggregatorRegistry.aggregate([...snapshots]);
  return { contentType: registry.contentType, text: await registry.metrics() };
}

/** What several processes have counted, as if one had: for those that have ended, of which there is nothing else to say. */
export function addCounts(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  const isCount = (metric: object) => "type" in metric && (metric.type === "counter" || metric.type === "histogram");
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => snapshot.filter(isCount))).getMetricsAsJSON();
}

/** What becomes of the values that several processes have. */
type Aggregator = "sum" | "min" | "max" | "first";

/** Of what stands in the database. */
const SHARED = "All instances say the same.";
/** Seconds. A commit takes one millisecond on a fast disk. */
const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const EVENT_LOOP_DELAY = "nodejs_eventloop_lag_p99_seconds";
const BATCH_SIZES = [1, 2, 5, 10, 20, 50, 100, 200];

/**
 * The metrics of one process, in the form of Prometheus. Labels have few values, none of which a caller chooses.
 * docs/operations.md says what each is for.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #shared = { registers: [this.#registry] };

  readonly handshakes = this.#counter("tls_handshakes_total", "TLS handshakes, by how they ended.", ["result"]);
  readonly turnedAway = createTurnedAwayCounter(this.#registry);
  readonly registrations = this.#counter("registrations_total", "Registrations, by what came of them.", ["result"]);
  readonly certificatesRenewed = this.#counter(
    "client_certificates_renewed_total",
    "Client certificates that known agents were given anew.",
  );
  readonly refusals = this.#counter("refusals_total", "Calls that were refused, by reason.", ["reason"]);
  readonly heartbeatsStored = this.#counter("heartbeats_stored_total", "Heartbeats whose transaction committed.");
  readonly heartbeatsFailed = this.#counter("heartbeats_failed_total", "Heartbeats that were not stored.");
  readonly batchSize = this.#histogram("heartbeat_batch_size", "Heartbeats in one transaction.", BATCH_SIZES);
  readonly commitDuration = this.#histogram(
    "heartbeat_commit_duration_seconds",
    "Time to write and commit one batch of heartbeats, tries again included.",
    DURATIONS,
  );
  readonly acknowledgementDuration = this.#histogram(
    "acknowledgement_duration_seconds",
    "Time from reading a heartbeat to its acknowledgement.",
    DURATIONS,
  );
  readonly sessionsOpened = this.#counter("sessions_opened_total", "Heartbeat streams that were opened.");
  readonly sessionsDisplaced = this.#counter(
    "sessions_displaced_total",
    "Streams ended by a newer one of their agent.",
  );
  readonly suspectedClones = this.#counter(
    "suspected_clones_total",
    "Agents whose identity two machines seem to have.",
  );
  readonly agentsOffline = this.#counter("agents_offline_total", "Agents that went offline, by cause.", ["cause"]);
  readonly callsFailed = this.#counter(
    "calls_failed_total",
    "Calls that failed for no fault of their caller, by reason.",
    ["reason"],
  );
  readonly databaseErrors = this.#counter(
    "database_errors_total",
    "Batches and connections of an instance that the database failed, by what they were for.",
    ["operation"],
  );
  readonly work = new WorkMetrics(this.#registry);

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    // Not the average, in which a worker that is overloaded does not show.
    Object.assign(this.#registry.getSingleMetric(EVENT_LOOP_DELAY) ?? {}, { aggregator: "max" satisfies Aggregator });
    const labels = ["version", "node_version"] as const;
    this.#gauge("build_info", "The version that runs.", { labels, aggregator: "first" }).set(
      { version: VERSION, node_version: process.version },
      1,
    );
  }

  /** Adds what is looked up from now on. */
  follow(sources: MetricSources): void {
    const look = (name: string, help: string, read: () => number, aggregator?: Aggregator) =>
      this.#gauge(name, help, { aggregator, collect: (gauge) => gauge.set(read()) });
    look("sessions", "Heartbeat streams that are open.", () => sources.sessions());
    look("connections", "Open connections of the agents' port.", () => sources.connections());
    look("connections_waiting", "Connections that wait for their TLS handshake.", () => sources.waitingConnections());
    look("waiting_bytes", "Heartbeats that wait for their transaction.", () => sources.waitingBytes());
    look("database_up", "1 while the database answers.", () => Number(sources.isDatabaseUp()), "min");
    this.#gauge("certificate_expiry_timestamp_seconds", "When a certificate expires that the operator has to renew.", {
      labels: ["certificate"],
      aggregator: "min",
      collect: (gauge) => {
        for (const [certificate, at] of sources.certificatesExpireAt()) gauge.set({ certificate }, at.getTime() / 1000);
      },
    });
    this.#gauge(
      "client_certificates_expiring",
      `Agents whose client certificate expires within so many days. ${SHARED}`,
      {
        labels: ["days"],
        aggregator: "max",
        collect: async (gauge) => {
          for (const [days, count] of await sources.clientCertificatesExpiring()) gauge.set({ days }, count);
        },
      },
    );
    const queue = (name: string, help: string, read: (figures: QueueMetrics) => number, aggregator?: Aggregator) => {
      const readNow = () => {
        const figures = sources.queue();
        return figures === undefined ? 0 : read(figures);
      };
      look(name, help, readNow, aggregator);
    };
    queue("queue_connected", "1 while connected to the broker.", ({ isConnected }) => Number(isConnected), "min");
    queue("queue_in_flight", "Messages published and not confirmed.", ({ inFlight }) => inFlight);
    this.#follow("queue_confirmed_total", "Messages that the broker confirmed.", () => sources.queue()?.confirmed ?? 0);
    queue("outbox_messages", `Messages that wait. ${SHARED}`, ({ waitingMessages }) => waitingMessages, "max");
    queue("outbox_oldest_age_seconds", `How long the oldest waits. ${SHARED}`, ({ oldestAgeS }) => oldestAgeS, "max");
    queue("outbox_set_aside_messages", `Messages no queue took. ${SHARED}`, (one) => one.setAsideMessages, "max");
  }

  /** All of it as it stands now. */
  snapshot(): Promise<MetricsSnapshot> {
    return this.#registry.getMetricsAsJSON();
  }

  #counter<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: named(name), help, labelNames, ...this.#shared });
  }

  /** A counter that somebody else keeps. */
  #follow(name: string, help: string, read: () => number): void {
    const counter = new Counter({
      name: named(name),
      help,
      collect: () => {
        counter.reset();
        counter.inc(read());
      },
      ...this.#shared,
    });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name: named(name), help, buckets, ...this.#shared });
  }

  #gauge<L extends string = never>(
    name: string,
    help: string,
    options: {
      labels?: readonly L[];
      aggregator?: Aggregator | undefined;
      collect?: (gauge: Gauge<L>) => Promise<void> | void;
    },
  ): Gauge<L> {
    const { labels: labelNames = [], aggregator = "sum", collect } = options;
    const gauge: Gauge<L> = new Gauge({
      name: named(name),
      help,
      labelNames,
      aggregator,
      ...(collect && { collect: () => collect(gauge) }),
      ...this.#shared,
    });
    return gauge;
  }
}

function named(name: string): string {
  return `ct_ops_ingest_${name}`;
}
