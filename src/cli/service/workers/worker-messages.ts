import type { LifetimeState } from "../../../lib/lifetime.js";
import type { MetricsSnapshot } from "../../../observe/metrics.js";

/** The variable that tells a process that it is a worker of ours, and not of another cluster. */
export const WORKER_VARIABLE = "CT_OPS_INGEST_WORKER";

/** Whether an environment is that of a worker. */
export function isWorkerEnvironment(env: Readonly<Record<string, string | undefined>>): boolean {
  return env[WORKER_VARIABLE] !== undefined;
}

/** What the primary tells a worker; the same again means nothing new. */
export type Order = { type: "stop"; reason: string } | { type: "stop now" } | { type: "measure" };

/** What a worker tells the primary. */
export type Report = { type: "status"; status: WorkerStatus } | { type: "metrics"; metrics: MetricsSnapshot };

/** How a worker is, told once a second and whenever its state changes. */
export interface WorkerStatus {
  instanceId: string;
  state: LifetimeState;
  /** Why it is not healthy; undefined when it is. */
  healthProblem?: string | undefined;
  /** Its JSON Web Key Set, once it has one. */
  jwks?: unknown;
  /** Where it listens for agents, once it does. */
  grpcPort?: number | undefined;
}
