import type { CheckDefinition } from "#gen/agent/v1/heartbeat_pb.js";

const DEFAULT_INTERVAL_S = 60;
/** What a timer can wait. */
const LONGEST_WAIT_MS = 2_147_483_647;

/** The checks that an agent runs, each at its interval. They go on while there is no stream. */
export class RunningChecks {
  readonly #running = new Map<string, { definition: CheckDefinition; timer: NodeJS.Timeout }>();

  constructor(private readonly run: (definition: CheckDefinition) => void) {}

  /** Replaces the whole set. What is new or changed runs at once; an empty list changes nothing. */
  replace(definitions: readonly CheckDefinition[]): void {
    if (definitions.length === 0) return;
    const ids = new Set(definitions.map(({ checkId }) => checkId));
    for (const [id, { timer }] of this.#running) {
      if (ids.has(id)) continue;
      clearInterval(timer);
      this.#running.delete(id);
    }
    for (const definition of definitions) {
      const known = this.#running.get(definition.checkId);
      if (known !== undefined && isSame(known.definition, definition)) continue;
      clearInterval(known?.timer);
      const { intervalSeconds } = definition;
      const waitMs = Math.min((intervalSeconds > 0 ? intervalSeconds : DEFAULT_INTERVAL_S) * 1_000, LONGEST_WAIT_MS);
      const timer = setInterval(() => this.run(definition), waitMs);
      this.#running.set(definition.checkId, { definition, timer });
      this.run(definition);
    }
  }

  /** Starts none any more. */
  stop(): void {
    for (const { timer } of this.#running.values()) clearInterval(timer);
    this.#running.clear();
  }
}

function isSame(one: CheckDefinition, other: CheckDefinition): boolean {
  return (
    one.checkType === other.checkType &&
    one.configJson === other.configJson &&
    one.intervalSeconds === other.intervalSeconds
  );
}
