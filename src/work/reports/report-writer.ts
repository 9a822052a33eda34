import { databaseUnavailable, IngestError } from "../../errors.js";
import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import type { Outgoing, PublishingDatabase } from "../../outbox/outbox.js";
import { keepHosts } from "../../store/hosts/row-locks.js";
import { SetWriter } from "../../store/sets/set-writer.js";
import type { Transaction } from "../../store/transaction.js";
import { insertCheckResults } from "../../store/work/checks.js";
import { completeQueries, lockQueries, type QueryAnswer } from "../../store/work/queries.js";
import { lockTasks } from "../../store/work/tasks/task-locks.js";
import { appendTaskOutput } from "../../store/work/tasks/task-output.js";
import { type FinishedTasks, findOwnInventories, finishTasks } from "../../store/work/tasks/task-results.js";
import type { WorkHost } from "../../store/work/work-host.js";
import type { CallingHost } from "../calling-host.js";
import type { WorkEvents } from "../events.js";
import { publishAnswers, publishCheckResults, publishEnds, publishRefusal } from "../outgoing-work.js";
import { type WorkReport, weightOf } from "./work-report.js";

const MAX_BATCH_REPORTS = 100;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** What waits over all streams; beyond it streams are read more slowly. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** What waits of one host. Its stream brings one report at a time: more is left of streams that ended while its rows were locked. */
const MAX_WAITING_BYTES_OF_HOST = 4 * 1024 * 1024;
/** Ids of dropped results that are logged of one message. */
const LOGGED_IDS = 5;

/**
 * Stores what agents bring back, in batches: {@link write} resolves when the transaction that holds a report has
 * committed. Everything in it counts only together with the host of the stream it came on. A report whose rows somebody
 * holds waits, and no other: but for those of the same host that came after it, on a newer stream.
 */
export class ReportWriter {
  readonly #batcher: Batcher<Waiting, Stored>;
  readonly #events: WorkEvents;
  /** Of each host that has something. */
  readonly #queues = new Map<string, HostQueue>();

  constructor({ database, outbox, events }: PublishingDatabase & { events: WorkEvents }) {
    this.#events = events;
    const setWriter = new SetWriter<Waiting, Stored>({
      write: (items) => outbox.transaction(database, (tx, outgoing) => writeBatch(tx, outgoing, items)),
      onRetry: ({ error }) => events.failed({ what: "results of agents", error }),
    });
    this.#batcher = new Batcher({
      flush: (items) => setWriter.write(items),
      maxItems: MAX_BATCH_REPORTS,
      maxWeight: MAX_BATCH_BYTES,
      maxWaitingWeight: MAX_WAITING_BYTES,
    });
  }

  /**
   * Stores a report. What is not the host's own, or nobody waits for, is dropped and logged; so is what can never be
   * stored: the heartbeat that brought it is not refused for it.
   *
   * @throws IngestError `database_unavailable`
   */
  async write(host: CallingHost, report: WorkReport): Promise<void> {
    const { hostId, organisationId, call } = host;
    const weight = weightOf(report);
    const queue = this.#queues.get(hostId) ?? { bytes: 0, reports: new Set() };
    if (queue.bytes > 0 && queue.bytes + weight > MAX_WAITING_BYTES_OF_HOST) {
      throw databaseUnavailable(
        new Error(`${queue.bytes} bytes of results of this host wait for rows that are locked`),
      );
    }
    const item: Waiting = { host, report, tried: false, queue };
    this.#queues.set(hostId, queue);
    queue.reports.add(item);
    queue.bytes += weight;
    let stored: Stored;
    try {
      stored = await this.#batcher.add(item, weight);
    } catch (error) {
      if (!(error instanceof IngestError) || error.code !== "not_storable") throw error;
      this.#events.reportLost({ hostId, organisationId, ...call, error });
      return;
    } finally {
      queue.reports.delete(item);
      queue.bytes -= weight;
      if (queue.reports.size === 0) this.#queues.delete(hostId);
    }
    const { finished, answered, checkStatuses, dropped } = stored;
    this.#events.checkResultsStored(checkStatuses);
    this.#events.tasksFinished(finished);
    for (const { queryId, status } of answered) {
      this.#events.queryCompleted({ hostId, organisationId, ...call, queryId, status });
    }
    for (const [kind, ids] of Object.entries(dropped)) {
      if (ids.length > 0) this.#events.workRefused({ ...refusalOf(host, kind, ids), ...call });
    }
  }
}

/** The reports of a host that are not stored, nor given up, in the order they came. */
interface HostQueue {
  reports: Set<Waiting>;
  bytes: number;
}

interface Waiting {
  host: WorkHost;
  report: WorkReport;
  /** A transaction that held it was begun before; whether that one has committed is not known. */
  tried: boolean;
  queue: HostQueue;
}

/** What became of a report. */
interface Stored {
  finished: FinishedTasks;
  answered: QueryAnswer[];
  /** Of the results of checks that were stored. */
  checkStatuses: string[];
  /** Ids by what they are of. */
  dropped: Record<"check" | "query" | "task", string[]>;
}

const NOTHING_FINISHED: FinishedTasks = { tasks: [], runs: [] };

async function writeBatch(
  tx: Transaction,
  outgoing: Outgoing,
  items: readonly Waiting[],
): Promise<BatchOutcome<Stored>[]> {
  const { kept, busy, runIds } = await lockReports(tx, items);
  const gather = <Row>(of: (report: WorkReport) => Row[]) => kept.flatMap(({ report }) => of(report));
  const checkResults = await insertCheckResults(
    tx,
    gather((report) => report.checkResults),
  );
  const queries = await completeQueries(
    tx,
    gather((report) => report.queryAnswers),
  );
  const outcomesOfTasks = gather((report) => report.taskOutcomes);
  const outputs = await appendTaskOutput(
    tx,
    gather((report) => report.taskProgress),
    kept.some(({ tried }) => tried),
  );
  const finished = await finishTasks(tx, outcomesOfTasks, runIds);
  const isRepeated = new Set(kept.filter(({ tried }) => tried));
  for (const item of kept) item.tried = true;
  const known = new Set([...outputs, ...finished.tasks.map(({ id }) => id)]);
  const unknown = gather((report) => [...report.taskProgress, ...report.taskOutcomes]).filter(
    ({ taskId }) => !known.has(taskId),
  );
  for (const id of await findOwnInventories(tx, unknown)) known.add(id);
  const outcomes = items.map((item): BatchOutcome<Stored> => {
    if (busy.has(item)) return { busy: true };
    const { report } = item;
    const answered = kept.includes(item) ? report.queryAnswers.filter(({ queryId }) => queries.has(queryId)) : [];
    return {
      done: {
        answered,
        checkStatuses: report.checkResults.filter(({ id }) => checkResults.has(id)).map(({ status }) => status),
        finished: item === kept[0] ? finished : NOTHING_FINISHED,
        dropped: {
          check: report.checkResults.filter(({ id }) => !checkResults.has(id)).map(({ checkId }) => checkId),
          query: report.queryAnswers.filter((answer) => !answered.includes(answer)).map(({ queryId }) => queryId),
          task: [...report.taskProgress, ...report.taskOutcomes]
            .filter(({ taskId }) => !known.has(taskId))
            .map(({ taskId }) => taskId),
        },
      },
    };
  });
  publishCheckResults(
    outgoing,
    gather((report) => report.checkResults),
    (id) => checkResults.get(id),
  );
  publishEnds(outgoing, finished.tasks);
  outcomes.forEach((outcome, index) => {
    const item = items[index];
    if (item === undefined || !("done" in outcome)) return;
    publishAnswers(outgoing, outcome.done.answered);
    // What was stored the first time looks as if nobody waited for it.
    if (isRepeated.has(item)) return;
    for (const [kind, ids] of Object.entries(outcome.done.dropped)) {
      if (ids.length > 0) publishRefusal(outgoing, refusalOf(item.host, kind, ids));
    }
  });
  return outcomes;
}

/**
 * Locks all that reports write to, before anything is written. What is neither kept nor busy came from a host that is
 * gone.
 */
async function lockReports(
  tx: Transaction,
  items: readonly Waiting[],
): Promise<{ kept: Waiting[]; busy: Set<Waiting>; runIds: string[] }> {
  const hosts = await keepHosts(
    tx,
    items.map(({ host }) => host.hostId),
  );
  const isFirst = (item: Waiting) => item.queue.reports.values().next().value === item;
  const busy = new Set(items.filter((item) => !isFirst(item) || hosts.get(item.host.hostId) === "busy"));
  const present = items.filter((item) => hosts.has(item.host.hostId) && !busy.has(item));
  const busyQueries = await lockQueries(
    tx,
    present.flatMap(({ report }) => report.queryAnswers),
  );
  const tasks = await lockTasks(
    tx,
    present.flatMap(({ report: { taskProgress, taskOutcomes } }) => [
      ...taskProgress.map((progress) => ({ ...progress, ends: false })),
      ...taskOutcomes.map((outcome) => ({ ...outcome, ends: true })),
    ]),
  );
  for (const item of present) {
    const { queryAnswers, taskProgress, taskOutcomes } = item.report;
    const isBusy =
      queryAnswers.some(({ queryId }) => busyQueries.has(queryId)) ||
      [...taskProgress, ...taskOutcomes].some(({ taskId }) => tasks.busy.has(taskId));
    if (isBusy) busy.add(item);
  }
  return { kept: present.filter((item) => !busy.has(item)), busy, runIds: tasks.runIds };
}

function refusalOf({ hostId, organisationId }: WorkHost, kind: string, ids: readonly string[]) {
  return { hostId, organisationId, kind, ids: ids.slice(0, LOGGED_IDS), count: ids.length };
}
