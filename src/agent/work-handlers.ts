import type { Inventory } from "./inventory.js";

type Awaitable<T> = T | Promise<T>;

/** A check that the agent runs at once, and then at its interval. */
export interface Check {
  id: string;
  /** For example `port`, `http`, `process`. */
  type: string;
  /** What it is configured with, in the agent's spelling. */
  config: unknown;
}

/** How a check went. */
export interface CheckOutcome {
  status: "pass" | "fail" | "error";
  output?: string;
}

/** A question that somebody waits for an answer to. */
export interface Query {
  id: string;
  /** `list_ports` or `list_services`. */
  type: string;
}

/** The answer: what the question is about. */
export interface QueryAnswer {
  ports?: readonly { port: number; protocol: string; process?: string }[];
  services?: readonly { name: string; loadState?: string; activeSub?: string }[];
}

/** A task that the agent carries out once. */
export interface Task {
  id: string;
  type: string;
  config: unknown;
}

/** What the work on a task has to do with. */
export interface TaskRun {
  /** Aborted when somebody stops the task, and when the agent is stopped. */
  signal: AbortSignal;
  /** Shows text to whoever watches the task. */
  print(text: string): void;
}

/** How a task went; 0 is success. */
export interface TaskOutcome {
  exitCode: number;
  /** Anything that can be JSON. */
  result?: unknown;
  error?: string;
}

/** What an agent does of what the service asks for. What has no handler is answered with an error, as is what throws. */
export interface WorkHandlers {
  check?(check: Check): Awaitable<CheckOutcome>;
  /** One at a time, in their order. */
  query?(query: Query): Awaitable<QueryAnswer>;
  /** Several at a time. */
  task?(task: Task, run: TaskRun): Awaitable<TaskOutcome>;
  /** Lists what is installed; the agent uploads it. */
  inventory?(signal: AbortSignal): Awaitable<Inventory>;
}
