import { groupBy } from "../../lib/group-by.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { putTasksBack } from "../../store/work/tasks/put-tasks-back.js";
import {
  type DueTask,
  listCancelledTasks,
  listRunningInventories,
  listWaitingRuns,
  type StartedTask,
  startTasks,
} from "../../store/work/tasks/tasks.js";
import type { WorkEvents } from "../events.js";
import { publishEnds, publishStarts } from "../outgoing-work.js";
import type { Seat } from "../seats.js";
import { failLargeTasks } from "./fail-large-tasks.js";

/** Tasks that a host is given at once; the next ones follow when these were sent. */
const MAX_TASKS_PER_HOST = 8;

/** What a {@link TaskSender} needs. */
export interface TaskSenderOptions extends PublishingDatabase {
  events: WorkEvents;
  /** Tasks that have waited for longer are never sent, in milliseconds. */
  maxAgeMs: number;
  /** Tasks of these hosts may be due, for the session that they have now. */
  onDue: (hostIds: readonly string[]) => void;
  /** Somebody holds these runs; their tasks may be due when nobody does. */
  onHeld: (runIds: readonly string[]) => void;
}

/** Starts the tasks that wait for hosts, and tells agents which ones to stop. */
export class TaskSender {
  /**
   * Marked running and not sent. They are put back by whoever starts tasks, before anything is started: beside it, a task
   * that is started again meanwhile would be put back although its agent has it, and be sent twice.
   */
  readonly #unsent = new Map<string, StartedTask>();
  readonly #sending = new Set<Promise<void>>();

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
    await this.#putBack("pass over");
    await this.#resendInventories(joined);
    await this.#sendOf(seats, undefined);
    if (runIds.length > 0) await this.#sendOf(all, runIds);
  }

  /** Puts back what could not be sent, when everything under way has been. Nothing may be started after it. */
  async stop(): Promise<void> {
    await Promise.all(this.#sending);
    await this.#putBack("wait");
  }

  async #sendOf(candidates: readonly Seat[], runIds: readonly string[] | undefined): Promise<void> {
    const seats = candidates.filter(({ isStalled }) => !isStalled);
    if (seats.length === 0) return;
    const { database, outbox, maxAgeMs, onHeld } = this.options;
    const hosts = seats.map(({ host }) => host);
    const bySeat = new Map(seats.map((seat) => [seat.host.hostId, seat]));
    const waiting = await listWaitingRuns(database.db, hosts, { runIds, maxAgeMs });
    if (waiting.length > 0) {
      const limits = { runIds: waiting, maxAgeMs, maxPerHost: MAX_TASKS_PER_HOST };
      let started: StartedTask[] = [];
      try {
        const { finished, heldRunIds } = await outbox.transaction(database, async (tx, outgoing) => {
          const { started: all, heldRunIds } = await startTasks(tx, hosts, limits);
          const { sendable, finished } = await failLargeTasks(tx, all);
          started = sendable;
          publishStarts(outgoing, started);
          publishEnds(outgoing, finished.tasks);
          return { finished, heldRunIds };
        });
        this.options.events.tasksFinished(finished);
        if (heldRunIds.length > 0) onHeld(heldRunIds);
      } catch (error) {
        // It may have committed all the same, and nothing was sent.
        for (const task of started) this.#unsent.set(task.id, task);
        throw error;
      }
      this.#start(started, bySeat);
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
  #start(tasks: readonly StartedTask[], bySeat: ReadonlyMap<string, Seat>): void {
    const { events, onDue } = this.options;
    const sendOne = async (task: StartedTask): Promise<void> => {
      const isSent = await sendTask(task, bySeat.get(task.hostId));
      if (isSent) events.taskStarted(describeTask(task));
      else this.#unsent.set(task.id, task);
    };
    // An agent that does not read must not hold up the others.
    const sending = Promise.all(tasks.map(sendOne)).then(() => {
      this.#sending.delete(sending);
      const perHost = groupBy(tasks, ({ hostId }) => hostId);
      const full = [...perHost].flatMap(([id, own]) => (own.length === MAX_TASKS_PER_HOST ? [id] : []));
      onDue([...full, ...tasks.filter(({ id }) => this.#unsent.has(id)).map(({ hostId }) => hostId)]);
    });
    this.#sending.add(sending);
  }

  async #putBack(held: "wait" | "pass over"): Promise<void> {
    const tasks = [...this.#unsent.values()];
    if (tasks.length === 0) return;
    const { database, outbox, events, onHeld } = this.options;
    const { waitingIds, finished, heldRunIds } = await outbox.transaction(database, async (tx, outgoing) => {
      const back = await putTasksBack(tx, tasks, held);
      publishEnds(outgoing, back.finished.tasks);
      return back;
    });
    for (const { id, runId } of tasks) if (!heldRunIds.includes(runId)) this.#unsent.delete(id);
    if (heldRunIds.length > 0) onHeld(heldRunIds);
    if (waitingIds.length > 0) events.tasksPutBack({ taskIds: waitingIds });
    events.tasksFinished(finished);
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
