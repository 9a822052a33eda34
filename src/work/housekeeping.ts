import { Refresher } from "../lib/async/refresher.js";
import type { PublishingDatabase } from "../outbox/outbox.js";
import { tryLockInTransaction } from "../store/advisory-locks.js";
import { endOverdueTasks, findOverdueTasks } from "../store/work/tasks/overdue-tasks.js";
import type { WorkEvents } from "./events.js";
import { publishEnds } from "./outgoing-work.js";

const INTERVAL_MS = 30_000;
/** What the web app says that a task may take. */
const TASK_TIMEOUT_MS = 60 * 60 * 1000;
/** Of each kind in one transaction; an old database may hold many. */
const MAX_TASKS = 500;

/** What {@link Housekeeping} needs. */
export interface HousekeepingOptions extends PublishingDatabase {
  events: WorkEvents;
  /** How long a task may wait for its host, in milliseconds. */
  maxAgeMs: number;
  /** 30 seconds unless told otherwise. */
  intervalMs?: number | undefined;
}

/**
 * Ends what would stay open for ever: tasks that never answered, tasks that waited too long, runs without an open row.
 * One instance does it at a time.
 */
export class Housekeeping {
  readonly #refresher: Refresher;

  constructor(private readonly options: HousekeepingOptions) {
    const { events, intervalMs = INTERVAL_MS } = options;
    this.#refresher = new Refresher({
      work: () => this.#work(),
      intervalMs,
      onError: (error) => events.failed({ what: "tasks that are overdue", error }),
    });
    // What an old database holds is ended before an agent could be sent any of it again.
    void this.#refresher.now().catch(() => {});
  }

  stop(): Promise<void> {
    return this.#refresher.stop();
  }

  async #work(): Promise<void> {
    const { database, outbox, events, maxAgeMs } = this.options;
    const limits = { timeoutMs: TASK_TIMEOUT_MS, maxAgeMs, limit: MAX_TASKS };
    const reasons = {
      timedOut: "The agent did not report an end within 60 minutes.",
      expired: `The task waited for longer than ${describeHours(maxAgeMs)} for its host and was not sent any more.`,
    };
    for (let more = true; more; ) {
      const finished = await outbox.transaction(database, async (tx, outgoing) => {
        if (!(await tryLockInTransaction(tx, "work-housekeeping"))) return undefined;
        const overdue = await findOverdueTasks(tx, limits);
        if (overdue.runIds.length === 0) return undefined;
        const ended = await endOverdueTasks(tx, overdue, reasons);
        publishEnds(outgoing, ended.tasks);
        return ended;
      });
      if (finished !== undefined) events.tasksFinished(finished);
      more = (finished?.tasks.length ?? 0) >= MAX_TASKS;
    }
  }
}

function describeHours(durationMs: number): string {
  const hours = durationMs / 3_600_000;
  return hours === 1 ? "an hour" : `${Math.round(hours * 10) / 10} hours`;
}
