import { Counter, type Registry } from "prom-client";

/** The counters of the work that agents do. */
export class WorkMetrics {
  readonly checkResults: Counter<"status">;
  readonly queriesCompleted: Counter<"status">;
  readonly tasksStarted: Counter;
  readonly tasksFinished: Counter<"status">;
  readonly inventoriesFinished: Counter<"status">;
  readonly workRefused: Counter<"kind">;

  constructor(registry: Registry) {
    const counter = <L extends string = never>(name: string, help: string, ...labelNames: L[]) =>
      new Counter<L>({ name: `ct_ops_ingest_${name}_total`, help, labelNames, registers: [registry] });
    this.checkResults = counter("check_results", "Results of checks that were stored.", "status");
    this.queriesCompleted = counter("queries_completed", "Queries that were answered.", "status");
    this.tasksStarted = counter("tasks_started", "Tasks that were sent to their agents.");
    this.tasksFinished = counter("tasks_finished", "Tasks that ended, also without their agent.", "status");
    this.inventoriesFinished = counter("inventories_finished", "Scans of software that ended.", "status");
    this.workRefused = counter("work_refused", "Results that were dropped.", "kind");
  }
}
