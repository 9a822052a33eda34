import { addCounts, type MetricsSnapshot } from "../../../observe/metrics.js";

/** A process that tells its metrics; undefined when it does not in time. */
interface Measured {
  measure(): Promise<MetricsSnapshot | undefined>;
}

/**
 * The metrics of workers that come and go. No counter goes back: Prometheus would take all that is left of it for new, and
 * alerts with it. So what a worker counted that has ended stays, and one that does not answer is as it was last.
 */
export class WorkerMetrics {
  readonly #last = new Map<Measured, MetricsSnapshot>();
  #ended: MetricsSnapshot = [];

  /** @param running the workers that run at the moment */
  constructor(private readonly running: () => readonly Measured[]) {}

  /** Of each worker, and what those counted that have ended; asked for by one at a time. */
  async measure(): Promise<MetricsSnapshot[]> {
    const measure = async (worker: Measured) => {
      const snapshot = await worker.measure();
      if (snapshot !== undefined) this.#last.set(worker, snapshot);
    };
    await Promise.all(this.running().map(measure));
    const running = new Set(this.running());
    for (const [worker, snapshot] of this.#last) {
      if (running.has(worker)) continue;
      this.#last.delete(worker);
      this.#ended = await addCounts([this.#ended, snapshot]);
    }
    return [...this.#last.values(), this.#ended];
  }
}
