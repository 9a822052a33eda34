import type { CallLabels } from "../observe/call-labels.js";
import type { Logger } from "../observe/logger.js";
import { Metrics } from "../observe/metrics.js";
import type { FinishedTasks } from "../store/work/tasks/task-results.js";
import type { WorkHost } from "../store/work/work-host.js";

/** Ids of checks that are logged at once. */
const LOGGED_IDS = 5;

/** A host, and the labels of the call that it brings something back over. */
type LabelledHost = WorkHost & Partial<CallLabels>;

/** The business events of the work that agents do: each writes what is to be known of it, in one place. */
export class WorkEvents {
  constructor(
    private readonly logger: Logger,
    private readonly metrics = new Metrics().work,
  ) {}

  /** Results of checks were stored. They are counted and not logged: each check has one a minute. */
  checkResultsStored(statuses: readonly string[]): void {
    for (const status of statuses) this.metrics.checkResults.inc({ status });
  }

  /** Checks of a host are together too large for one message, and these are not run. */
  checksLeftOut({ hostId, ids }: { hostId: string; ids: readonly string[] }): void {
    const event = { hostId, count: ids.length, ids: ids.slice(0, LOGGED_IDS) };
    this.logger.error(event, "checks are too large for one message and are not run");
  }

  /** A task was sent to its agent. */
  taskStarted(event: { taskId: string; hostId: string; runId: string; taskType: string }): void {
    this.metrics.tasksStarted.inc();
    this.logger.info(event, "task sent to its agent");
  }

  /** Tasks came to their end, and with them runs. */
  tasksFinished({ tasks, runs }: FinishedTasks): void {
    for (const { status } of tasks) this.metrics.tasksFinished.inc({ status });
    for (const { id, ...task } of tasks) this.logger.info({ taskId: id, ...task }, "task ended");
    for (const { id, status } of runs) this.logger.info({ runId: id, status }, "task run ended");
  }

  /** Tasks could not be sent after they were started, and wait again. */
  tasksPutBack(event: { taskIds: readonly string[] }): void {
    this.logger.warn(event, "tasks could not be sent to their agents and wait again");
  }

  /** A query was answered. */
  queryCompleted(event: LabelledHost & { queryId: string; status: string }): void {
    this.metrics.queriesCompleted.inc({ status: event.status });
    this.logger.info(event, "query answered");
  }

  /** What an agent brought back is not its own, or nobody waits for it any more. */
  workRefused(event: LabelledHost & { kind: string; ids: readonly string[]; count: number }): void {
    this.metrics.workRefused.inc({ kind: event.kind }, event.count);
    this.logger.warn(event, "results dropped: they belong to another host, are deleted or disabled, or came too late");
  }

  /** The database can never store what an agent brought back; the heartbeat that brought it was accepted. */
  reportLost(event: LabelledHost & { error: unknown }): void {
    const { error, ...host } = event;
    this.logger.error({ ...host, err: error }, "results of an agent cannot be stored and are lost");
  }

  /** A host's software was scanned, or the scan failed. */
  inventoryFinished(
    event: LabelledHost & {
      taskId: string;
      status: "success" | "failed";
      packages?: number;
      error?: string | undefined;
    },
  ): void {
    this.metrics.inventoriesFinished.inc({ status: event.status });
    this.logger.info(event, "software inventory ended");
  }

  /** Scans were made for hosts that are due. */
  scansStarted(event: { scans: number }): void {
    this.logger.info(event, "software scans are due");
  }

  /** An agent was told of a newer version. */
  updateOffered(event: { agentId: string; runs: string; offered: string }): void {
    this.logger.info(event, "agent told of a newer version");
  }

  /** Something for agents could not be read or written; it is looked for again. */
  failed(event: Partial<CallLabels> & { what: string; error: unknown }): void {
    const { error, ...rest } = event;
    this.logger.warn({ ...rest, err: error }, "work for agents could not be looked after, trying again");
  }
}
