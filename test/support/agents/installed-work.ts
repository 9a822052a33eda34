import { setTimeout as delay } from "node:timers/promises";

/** What an agent is sent, as grpc-js with proto-loader gives it. */
interface Pushes {
  checks?: { checkId: string; checkType: string; configJson: string; intervalSeconds: number }[];
  pendingQueries?: { queryId: string; queryType: string }[];
  pendingTask?: { taskId: string; taskType: string } | null;
  cancelTaskIds?: string[];
}

/** What it brings back in one message. */
export interface SentReport {
  checkResults: { checkId: string; output: string }[];
  queryResults: { queryId: string }[];
  taskProgress: { taskId: string; outputChunk: string }[];
  taskResults: { taskId: string; exitCode: number; error: string }[];
  /** Whether the service has acknowledged the message. */
  isAcknowledged: boolean;
}

/** What an agent has seen and said of its work, over all its processes. */
export interface WorkLog {
  reports: SentReport[];
  /** Ids, once for each time that the agent began with it. */
  begun: string[];
}

/** One second of the released agent, in milliseconds of a test. */
const SECOND_MS = 10;
const HEARTBEAT_S = 30;
/** What a query takes. */
const QUERY_S = 2;

let nextMark = 0;

/** Whether an answer pushes something; if not, it acknowledges a message. */
export function isPush(answer: object): boolean {
  const { checks, pendingQueries, pendingTask, cancelTaskIds } = answer as Pushes;
  return [checks, pendingQueries, cancelTaskIds].some((list) => (list?.length ?? 0) > 0) || Boolean(pendingTask);
}

/**
 * The work of one process of a released agent. Results of queries and tasks go in an extra message, those of checks in the
 * next regular one; each is sent once, and what a stream that broke carried is lost. Ids are known for as long as a stream
 * lasts, tasks and checks go on without one.
 */
export class InstalledWork {
  readonly #checks = new Map<string, { definition: string; type: string; everyMessages: number; age: number }>();
  readonly #tasks = new Map<string, AbortController>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #stopped = new AbortController();
  #seen = new Set<string>();
  #next = emptyReport();
  #inFlight: SentReport[] = [];
  #send: ((fields: SentReport) => void) | undefined;
  #queries = Promise.resolve();

  /** @param upload sends an inventory over a second connection */
  constructor(
    private readonly log: WorkLog,
    private readonly upload: (scanId: string, signal: AbortSignal) => Promise<void>,
  ) {}

  /** A stream opened, which takes extra messages. */
  openStream(send: (fields: SentReport) => void): void {
    this.#seen = new Set();
    this.#inFlight = [];
    this.#send = send;
  }

  closeStream(): void {
    this.#send = undefined;
  }

  /** The process ends; resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#send = undefined;
    await Promise.all([this.#queries, ...this.#underWay]);
  }

  /** What goes with a regular message. */
  takeRegular(): SentReport {
    for (const [checkId, check] of this.#checks) {
      check.age += 1;
      if (check.age >= check.everyMessages) this.#runCheck(checkId);
    }
    return this.#take();
  }

  /** A message was acknowledged. */
  acknowledge(): void {
    const report = this.#inFlight.shift();
    if (report !== undefined) report.isAcknowledged = true;
  }

  /** Something was pushed. */
  take(answer: object): void {
    const { checks = [], pendingQueries = [], pendingTask, cancelTaskIds = [] } = answer as Pushes;
    if (checks.length > 0) this.#replaceChecks(checks);
    for (const { queryId, queryType } of pendingQueries) {
      if (this.#isNew(queryId)) this.#queries = this.#queries.then(() => this.#answer(queryId, queryType));
    }
    if (pendingTask && this.#isNew(pendingTask.taskId)) void this.#runTask(pendingTask);
    for (const id of cancelTaskIds) this.#tasks.get(id)?.abort();
  }

  #isNew(id: string): boolean {
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    this.log.begun.push(id);
    return true;
  }

  #replaceChecks(checks: NonNullable<Pushes["checks"]>): void {
    const wanted = new Set(checks.map(({ checkId }) => checkId));
    for (const id of this.#checks.keys()) if (!wanted.has(id)) this.#checks.delete(id);
    for (const { checkId, checkType, configJson, intervalSeconds } of checks) {
      const definition = `${checkType} ${configJson} ${intervalSeconds}`;
      if (this.#checks.get(checkId)?.definition === definition) continue;
      const everyMessages = (intervalSeconds > 0 ? intervalSeconds : 60) / HEARTBEAT_S;
      this.#checks.set(checkId, { definition, type: checkType, everyMessages, age: 0 });
      this.#runCheck(checkId);
    }
  }

  #runCheck(checkId: string): void {
    const check = this.#checks.get(checkId);
    if (check === undefined) return;
    check.age = 0;
    const result = {
      checkId,
      status: check.type === "port" ? "pass" : "error",
      output: `run ${nextMark++}`,
      durationMs: 1,
      ranAtUnix: Math.floor(Date.now() / 1000),
    };
    this.#next.checkResults.push(result);
  }

  async #answer(queryId: string, queryType: string): Promise<void> {
    await delay(QUERY_S * SECOND_MS);
    const answer = { queryId, queryType, status: "ok", ports: [{ port: 22, protocol: "tcp" }] };
    this.#next.queryResults.push(answer);
    this.#sendExtra();
  }

  async #runTask({ taskId, taskType }: { taskId: string; taskType: string }): Promise<void> {
    const end = (exitCode: number, error: string) => {
      if (this.#stopped.signal.aborted) return;
      this.#next.taskResults.push({ taskId, exitCode, error });
      this.#sendExtra();
    };
    if (taskType !== "software_inventory") {
      end(-1, `unsupported task type: ${taskType}`);
      return;
    }
    const stop = new AbortController();
    this.#tasks.set(taskId, stop);
    const stopped = new Promise<never>((_, reject) => {
      stop.signal.addEventListener("abort", () => reject(new Error("stopped")), { once: true });
    });
    this.#next.taskProgress.push({ taskId, outputChunk: "listing software\n" });
    try {
      const uploaded = this.upload(taskId, this.#stopped.signal);
      const settled = uploaded.catch(() => {});
      this.#underWay.add(settled);
      void settled.then(() => this.#underWay.delete(settled));
      await Promise.race([uploaded, stopped]);
      end(0, "");
    } catch (error) {
      end(-1, `upload failed: ${(error as Error).message}`);
    } finally {
      this.#tasks.delete(taskId);
    }
  }

  #sendExtra(): void {
    if (this.#send === undefined || this.#stopped.signal.aborted) return;
    // Results of checks wait for the next regular message.
    const { checkResults, ...urgent } = this.#next;
    this.#next = { ...emptyReport(), checkResults };
    this.#send(this.#sent({ ...urgent, checkResults: [] }));
  }

  #take(): SentReport {
    const report = this.#next;
    this.#next = emptyReport();
    return this.#sent(report);
  }

  #sent(report: SentReport): SentReport {
    this.#inFlight.push(report);
    this.log.reports.push(report);
    return report;
  }
}

function emptyReport(): SentReport {
  return { checkResults: [], queryResults: [], taskProgress: [], taskResults: [], isAcknowledged: false };
}
