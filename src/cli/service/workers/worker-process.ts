import cluster, { type Worker } from "node:cluster";
import type { MetricsSnapshot } from "../../../observe/metrics.js";
import { type Order, type Report, WORKER_VARIABLE, type WorkerStatus } from "./worker-messages.js";

const MEASURE_TIMEOUT_MS = 2_000;

/** How a process ended. */
export interface WorkerEnd {
  exitCode: number | null;
  signal: string | null;
}

/** A worker, as the primary sees it. */
export class WorkerProcess {
  /** Resolves with the port, once it serves agents; never, if it does not come so far. */
  readonly serving: Promise<number>;
  readonly ended: Promise<WorkerEnd>;
  readonly #worker: Worker;
  #status: WorkerStatus | undefined;
  #order: Order | undefined;
  #silentLooks = 0;
  #onMetrics: ((metrics: MetricsSnapshot) => void) | undefined;
  #measuring: Promise<MetricsSnapshot | undefined> | undefined;

  /** Starts one. */
  constructor() {
    cluster.schedulingPolicy = cluster.SCHED_RR;
    this.#worker = cluster.fork({ [WORKER_VARIABLE]: "1" });
    this.serving = new Promise((resolve) => {
      this.#worker.on("message", (report: Report) => {
        if (report.type === "metrics") return this.#onMetrics?.(report.metrics);
        const { status } = report;
        this.#status = status;
        this.#silentLooks = 0;
        // What is said before it listens is lost.
        if (this.#order !== undefined) this.#send(this.#order);
        if (status.state === "serving" && status.grpcPort !== undefined) resolve(status.grpcPort);
      });
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once("exit", (exitCode, signal) => resolve({ exitCode, signal }));
      // One that could not be made at all does not exit.
      this.#worker.on("error", () => {
        if (this.#worker.process.pid === undefined) resolve({ exitCode: null, signal: null });
      });
    });
  }

  /** What it said last. */
  get status(): WorkerStatus | undefined {
    return this.#status;
  }

  /** It was told to end. */
  get isTold(): boolean {
    return this.#order !== undefined;
  }

  /** For log lines. */
  get name(): { workerPid: number | undefined; instanceId: string | undefined } {
    return { workerPid: this.#worker.process.pid, instanceId: this.#status?.instanceId };
  }

  /**
   * Counts how often the primary looked since it said something. Looks and not a clock: a machine that stood still is no
   * silence.
   */
  countSilentLook(): number {
    this.#silentLooks += 1;
    return this.#silentLooks;
  }

  /** Has it send its agents away and end. */
  stop(reason: string): void {
    this.#order ??= { type: "stop", reason };
    this.#send(this.#order);
  }

  /** Has it end without waiting for anything. */
  stopNow(): void {
    this.#order = { type: "stop now" };
    this.#send(this.#order);
  }

  /** Asks for its metrics; undefined when it does not say them in time. */
  measure(): Promise<MetricsSnapshot | undefined> {
    this.#measuring ??= new Promise<MetricsSnapshot | undefined>((resolve) => {
      this.#onMetrics = resolve;
      setTimeout(() => resolve(undefined), MEASURE_TIMEOUT_MS).unref();
      this.#send({ type: "measure" });
    }).finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  #send(order: Order): void {
    // One that is ending hears nothing any more.
    if (this.#worker.isConnected()) this.#worker.send(order, () => {});
  }
}
