import type { HeartbeatWriter } from "../heartbeat/heartbeat-writer.js";
import type { Sessions } from "../heartbeat/sessions.js";
import type { MetricSources, Metrics, QueueMetrics } from "../observe/metrics.js";
import type { QueueFigures } from "../outbox/queue.js";
import type { RpcListener } from "../server/rpc-listener.js";
import type { DatabaseHealth } from "../store/connection/health.js";
import type { Queryable } from "../store/database.js";
import { countExpiringCertificates } from "../store/identity/expiring-certificates.js";

const EXPIRING_DAYS = [7, 30];
/** They are counted in the database, whoever asks how often. */
const COUNT_MS = 60_000;

/** Lets the metrics show what the parts of a service know. */
export function followMetrics(
  metrics: Metrics,
  parts: {
    db: Queryable;
    sessions: Sessions;
    writer: HeartbeatWriter;
    rpcListener: RpcListener;
    health: DatabaseHealth;
    queue: () => QueueFigures | undefined;
    certificates: () => readonly { name: string; notAfter: Date }[];
  },
): void {
  const { db, sessions, writer, rpcListener, health, queue, certificates } = parts;
  metrics.follow({
    sessions: () => sessions.open.size,
    connections: () => rpcListener.connections,
    waitingConnections: () => rpcListener.waitingConnections,
    isDatabaseUp: () => health.findProblem() === undefined,
    waitingBytes: () => writer.waitingBytes,
    certificatesExpireAt: () => new Map(certificates().map(({ name, notAfter }) => [name, notAfter])),
    clientCertificatesExpiring: countSometimes(db),
    queue: () => toQueueMetrics(queue()),
  });
}

/** Nothing while the database does not say. */
function countSometimes(db: Queryable): MetricSources["clientCertificatesExpiring"] {
  let counting: Promise<ReadonlyMap<number, number>> | undefined;
  let countedAt = 0;
  const count = async () => {
    const agents = await countExpiringCertificates(db, EXPIRING_DAYS);
    return new Map(EXPIRING_DAYS.map((days, index) => [days, agents[index] ?? 0]));
  };
  return () => {
    if (counting === undefined || performance.now() - countedAt > COUNT_MS) {
      countedAt = performance.now();
      counting = count().catch(() => new Map());
    }
    return counting;
  };
}

function toQueueMetrics(figures: QueueFigures | undefined): QueueMetrics | undefined {
  if (figures === undefined) return undefined;
  const sum = (backlog: QueueFigures["backlog"]) => backlog.reduce((total, { messages }) => total + messages, 0);
  return {
    isConnected: figures.connected,
    inFlight: figures.inFlight,
    confirmed: figures.confirmed,
    waitingMessages: sum(figures.backlog),
    oldestAgeS: Math.max(0, ...figures.backlog.map(({ oldestAgeMs }) => oldestAgeMs / 1000)),
    setAsideMessages: sum(figures.unroutable),
  };
}
