import { groupBy } from "../../lib/group-by.js";
import type { Database } from "../../store/database.js";
import {
  type DueTask,
  listCancelledTasks,
  listRunningInventories,
  listWaitingRuns,
  putTasksBack,
  startTasks,
} from "../../store/work/tasks.js";
import type { WorkEvents } from "../events.js";
import type { Seat } from "../seats.js";

/** Tasks that a host is given at once; the next ones follow when these were sent. */
const MAX_TASKS_PER_HOST = 8;

/** What a {@link TaskSender} needs. */
export interface TaskSenderOptions {
  database: Database;
  events: WorkEvents;
  /** Tasks that have waited for longer are never sent, in milliseconds. */
  maxAgeMs: number;
  /** Tasks of these hosts may be due, for the session that they have now. */
  onDue: (hostIds: readonly string[]) => void;
}

/** Starts the tasks that wait for hosts, and tells agents which ones to stop. */
export class TaskSender {
  /** Marked running, not sent, and not put back yet: the database was away. */
  readonly #owed = new Set<string>();

  constructor(private readonly options: TaskSenderOptions) {}

  /**
   * Sends what is due.
   *
   * @param joined sessions that have just opened
   * @param seats sessions whose hosts are looked at, with whatever waits for them
   * @param runIds runs that changed: all sessions are looked at for them
   */
  async send(due: {
    joined: readonly Seat[];
    seats: readonly Seat[];
    all: readonly Seat[];
    runIds: readonly string[];
  }): Promise<void> {
    const { joined, seats, all, runIds } = due;
    await this.#putBack([]);
    await this.#resendInventories(joined);
    await this.#sendOf(seats, undefined);
    if (runIds.length > 0) await this.#sendOf(all, runIds);
  }

  async #sendOf(candidates: readonly Seat[], runIds: readonly string[] | undefined): Promise<void> {
    const seats = candidates.filter(({ isStalled }) => !isStalled);
    if (seats.length === 0) return;
    const { database, maxAgeMs } = this.options;
    const hosts = seats.map(({ host }) => host);
    const bySeat = new Map(seats.map((seat) => [seat.host.hostId, seat]));
    const waiting = await listWaitingRuns(database.db, hosts, { runIds, maxAgeMs });
    if (waiting.length > 0) {
      const limits = { runIds: waiting, maxAgeMs, maxPerHost: MAX_TASKS_PER_HOST };
      await this.#start(await database.transaction((tx) => startTasks(tx, hosts, limits)), bySeat);
    }
    const cancelled = await listCancelledTasks(database.db, hosts, { runIds });
    for (const [hostId, tasks] of groupBy(cancelled, ({ hostId }) => hostId)) {
      const seat = bySeat.get(hostId);
      // A cancellation that the agent does not know of is not answered: once in a stream is all that helps.
      const unsent = tasks.map(({ id }) => id).filter((id) => seat?.takeUnsent(`cancel ${id}`));
      if (seat === undefined || unsent.length === 0) continue;
      void seat.send({ kind: "cancellations", taskIds: unsent }).then((isSent) => {
        if (!isSent) for (const id of unsent) seat.forget(`cancel ${id}`);
      });
    }
  }

  /** Sends what was marked running; what cannot be sent waits again. */
  async #start(tasks: readonly DueTask[], bySeat: ReadonlyMap<string, Seat>): Promise<void> {
    const { events, onDue } = this.options;
    const sendAll = tasks.map(async (task) => ({ task, isSent: await sendTask(task, bySeat.get(task.hostId)) }));
    // An agent that does not read must not hold up the others.
    void Promise.all(sendAll).then(async (outcomes) => {
      const unsent = outcomes.filter(({ isSent }) => !isSent).map(({ task }) => task);
      for (const { task, isSent } of outcomes) if (isSent) events.taskStarted(describeTask(task));
      await this.#putBack(unsent).catch((error: unknown) =>
        events.failed({ what: "tasks that could not be sent", error }),
      );
      const perHost = groupBy(tasks, ({ hostId }) => hostId);
      const full = [...perHost].flatMap(([id, own]) => (own.length === MAX_TASKS_PER_HOST ? [id] : []));
      onDue([...full, ...unsent.map(({ hostId }) => hostId)]);
    });
  }

  /** What the database did not take is put back before anything else is started. */
  async #putBack(tasks: readonly DueTask[]): Promise<void> {
    for (const { id } of tasks) this.#owed.add(id);
    const taskIds = [...this.#owed];
    if (taskIds.length === 0) return;
    await putTasksBack(this.options.database.db, taskIds);
    for (const id of taskIds) this.#owed.delete(id);
    this.options.events.tasksPutBack({ taskIds });
  }

  async #resendInventories(joined: readonly Seat[]): Promise<void> {
    if (joined.length === 0) return;
    const running = await listRunningInventories(
      this.options.database.db,
      joined.map(({ host }) => host),
    );
    const bySeat = new Map(joined.map((seat) => [seat.host.hostId, seat]));
    for (const task of running) void sendTask(task, bySeat.get(task.hostId));
  }
}

async function sendTask({ id, type, configText }: DueTask, seat: Seat | undefined): Promise<boolean> {
  if (seat === undefined) return false;
  return seat.send({ kind: "task", task: { taskId: id, taskType: type, configJson: configText } });
}

function describeTask({ id, hostId, runId, type }: DueTask): Parameters<WorkEvents["taskStarted"]>[0] {
  return { taskId: id, hostId, runId, taskType: type };
}
