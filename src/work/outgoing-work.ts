import type { CheckMessage } from "../broker/messages/check-message.js";
import type { Outgoing } from "../outbox/outbox.js";
import { publishEvents } from "../outbox/publish-events.js";
import type { CheckResultRow } from "../store/work/checks.js";
import type { QueryAnswer } from "../store/work/queries.js";
import type { FinishedTask } from "../store/work/tasks/task-results.js";
import type { DueTask } from "../store/work/tasks/tasks.js";
import type { WorkHost } from "../store/work/work-host.js";

// What is published of the work that agents do, with the transaction that writes it.

/** Publishes results of checks: `checks.raw`. */
export function publishCheckResults(
  outgoing: Outgoing,
  results: readonly CheckResultRow[],
  typeOf: (resultId: string) => string | undefined,
): void {
  outgoing.publish("checks.raw", () => {
    const recordedAt = new Date().toISOString();
    return results.flatMap((result): CheckMessage[] => {
      const checkType = typeOf(result.id);
      if (checkType === undefined) return [];
      return [
        {
          message_id: result.id,
          type: "check.result",
          org_id: result.organisationId,
          host_id: result.hostId,
          check_id: result.checkId,
          check_type: checkType,
          status: result.status,
          output: result.output,
          duration_ms: result.durationMs,
          ran_at: result.ranAt.toISOString(),
          recorded_at: recordedAt,
        },
      ];
    });
  });
}

/** Publishes that queries were answered. */
export function publishAnswers(outgoing: Outgoing, answers: readonly QueryAnswer[]): void {
  publishEvents(outgoing, "query.completed", () =>
    answers.map(({ queryId, status, error, ...host }) => ({ ...placeOf(host), query_id: queryId, status, error })),
  );
}

/** Publishes that tasks began. */
export function publishStarts(outgoing: Outgoing, tasks: readonly DueTask[]): void {
  publishEvents(outgoing, "task.started", () =>
    tasks.map(({ id, runId, type, ...host }) => ({
      ...placeOf(host),
      task_id: id,
      run_id: runId,
      task_type: type,
    })),
  );
}

/** Publishes that tasks came to their end. */
export function publishEnds(outgoing: Outgoing, tasks: readonly FinishedTask[]): void {
  publishEvents(outgoing, "task.finished", () =>
    tasks.map(({ id, runId, status, ...host }) => ({ ...placeOf(host), task_id: id, run_id: runId, status })),
  );
}

/** Publishes how a scan of a host's software ended. */
export function publishScan(
  outgoing: Outgoing,
  { taskId, packages, error, ...host }: WorkHost & { taskId: string; packages: number | null; error: string | null },
): void {
  const status = error === null ? "success" : "failed";
  publishEvents(outgoing, "inventory.finished", () => [{ ...placeOf(host), task_id: taskId, status, packages, error }]);
}

/** Publishes that something an agent brought back was dropped. */
export function publishRefusal(
  outgoing: Outgoing,
  { kind, ids, count, ...host }: WorkHost & { kind: string; ids: readonly string[]; count: number },
): void {
  publishEvents(outgoing, "work.refused", () => [{ ...placeOf(host), kind, ids: [...ids], count }]);
}

function placeOf({ hostId, organisationId }: WorkHost): { org_id: string; host_id: string } {
  return { org_id: organisationId, host_id: hostId };
}
