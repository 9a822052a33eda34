import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  AgentQuery,
  AgentQueryResultSchema,
  AgentTask,
  AgentTaskProgressSchema,
  AgentTaskResultSchema,
  CheckDefinition,
  CheckResultSchema,
  HeartbeatResponse,
} from "#gen/agent/v1/heartbeat_pb.js";
import type { Inventory } from "./inventory.js";
import { RunningChecks } from "./running-checks.js";
import type { TaskOutcome, WorkHandlers } from "./work-handlers.js";

const INVENTORY_TASK = "software_inventory";
/** Results of checks that wait for a stream; the oldest are dropped. A message of more would be refused. */
const MAX_CHECK_RESULTS = 1_000;

interface Results {
  checkResults: MessageInitShape<typeof CheckResultSchema>[];
  queryResults: MessageInitShape<typeof AgentQueryResultSchema>[];
  taskProgress: MessageInitShape<typeof AgentTaskProgressSchema>[];
  taskResults: MessageInitShape<typeof AgentTaskResultSchema>[];
}

/** What an {@link AgentWork} needs. */
export interface AgentWorkOptions {
  handlers: WorkHandlers;
  /** Uploads the inventory that a task asks for; resolves with the number of packages received. */
  upload: (scanId: string, inventory: Inventory, signal: AbortSignal) => Promise<number>;
  /** There is a result that somebody waits for. */
  onResult: () => void;
}

/**
 * What the service asks of an agent, and what comes of it. Each result is given out once: whether it arrived is not known.
 * Checks and tasks outlive a stream. The ids of queries and tasks do not: what is pushed again on the next one is done again.
 */
export class AgentWork {
  readonly #checks = new RunningChecks((check) => void this.#runCheck(check));
  readonly #stopping = new AbortController();
  /** What the stream that is open asked for. */
  readonly #tasks = new Map<string, AbortController>();
  readonly #queries = new Set<string>();
  #lastQuery: Promise<void> = Promise.resolve();
  #results: Results = emptyResults();

  constructor(private readonly options: AgentWorkOptions) {}

  /** Begins with what a message asks for. */
  take({ checks, pendingQueries, pendingTask, cancelTaskIds }: HeartbeatResponse): void {
    if (this.#stopping.signal.aborted) return;
    this.#checks.replace(checks);
    for (const query of pendingQueries) {
      if (this.#queries.has(query.queryId)) continue;
      this.#queries.add(query.queryId);
      this.#lastQuery = this.#lastQuery.then(() => this.#answer(query));
    }
    if (pendingTask !== undefined && !this.#tasks.has(pendingTask.taskId)) void this.#carryOut(pendingTask);
    for (const id of cancelTaskIds) this.#tasks.get(id)?.abort();
  }

  /** The results for the next message; they are not given out again. */
  collect(): Results {
    const results = this.#results;
    this.#results = emptyResults();
    return results;
  }

  /** Whether there is a result that somebody waits for: those of checks wait for the next heartbeat. */
  get isAwaited(): boolean {
    const { queryResults, taskProgress, taskResults } = this.#results;
    return [queryResults, taskProgress, taskResults].some(({ length }) => length > 0);
  }

  /** The stream has ended: ids of it mean nothing on the next one. */
  forgetStream(): void {
    this.#queries.clear();
    this.#tasks.clear();
  }

  /** Stops checks and tasks. */
  stop(): void {
    this.#stopping.abort();
    this.#checks.stop();
  }

  async #runCheck({ checkId, checkType, configJson }: CheckDefinition): Promise<void> {
    const startedAt = Date.now();
    const run = async () => {
      const { check } = this.options.handlers;
      if (check === undefined) throw new Error("this agent runs no checks");
      return check({ id: checkId, type: checkType, config: JSON.parse(configJson) });
    };
    const { status, output = "" } = await run().catch((error: unknown) => ({
      status: "error",
      output: messageOf(error),
    }));
    const { checkResults } = this.#results;
    const ranAtUnix = BigInt(Math.floor(startedAt / 1_000));
    checkResults.push({ checkId, status, output, durationMs: Date.now() - startedAt, ranAtUnix });
    if (checkResults.length > MAX_CHECK_RESULTS) checkResults.shift();
  }

  async #answer({ queryId, queryType }: AgentQuery): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const answer = async () => {
      const { query } = this.options.handlers;
      if (query === undefined) throw new Error("this agent answers no queries");
      const { ports = [], services = [] } = await query({ id: queryId, type: queryType });
      return { status: "ok", ports: [...ports], services: [...services] };
    };
    const answered = await answer().catch((error: unknown) => ({ status: "error", error: messageOf(error) }));
    this.#results.queryResults.push({ queryId, queryType, ...answered });
    this.options.onResult();
  }

  async #carryOut(task: AgentTask): Promise<void> {
    const { taskId, taskType } = task;
    const cancelling = new AbortController();
    this.#tasks.set(taskId, cancelling);
    const cancel = () => cancelling.abort();
    this.#stopping.signal.addEventListener("abort", cancel);
    const outcome = await this.#outcomeOf(task, cancelling.signal).catch((error: unknown) => ({
      exitCode: -1,
      error: messageOf(error),
      result: undefined,
    }));
    this.#stopping.signal.removeEventListener("abort", cancel);
    const { exitCode, error = "", result } = outcome;
    const resultJson = result === undefined ? "" : JSON.stringify(result);
    this.#results.taskResults.push({ taskId, taskType, exitCode, error, resultJson });
    this.options.onResult();
  }

  async #outcomeOf({ taskId, taskType, configJson }: AgentTask, signal: AbortSignal): Promise<TaskOutcome> {
    const { handlers, onResult } = this.options;
    if (taskType === INVENTORY_TASK && handlers.inventory !== undefined) return this.#takeInventory(taskId, signal);
    if (handlers.task === undefined) throw new Error(`this agent carries out no tasks of type ${taskType}`);
    const print = (outputChunk: string) => {
      this.#results.taskProgress.push({ taskId, outputChunk });
      onResult();
    };
    return handlers.task({ id: taskId, type: taskType, config: JSON.parse(configJson) }, { signal, print });
  }

  async #takeInventory(scanId: string, signal: AbortSignal): Promise<TaskOutcome> {
    const { handlers, upload } = this.options;
    const startedAt = new Date();
    const inventory = await handlers.inventory?.(signal);
    if (inventory === undefined) throw new Error("there is no inventory");
    const packageCount = await upload(scanId, inventory, signal);
    const result = {
      scan_id: scanId,
      package_count: packageCount,
      source: inventory.source,
      started_at: startedAt.toISOString(),
      completed_at: new Date().toISOString(),
    };
    return { exitCode: 0, result };
  }
}

function emptyResults(): Results {
  return { checkResults: [], queryResults: [], taskProgress: [], taskResults: [] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
