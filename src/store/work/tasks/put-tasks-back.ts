import { sql } from "drizzle-orm";
import type { Transaction } from "../../transaction.js";
import { type FinishedTasks, toFinishedTask } from "./task-results.js";
import { closeTaskRuns, lockTaskRuns } from "./task-runs.js";
import type { StartedTask } from "./tasks.js";

/**
 * Makes rows pending again that were marked running and could not be sent; those that somebody stopped meanwhile have
 * ended. One that was started anew since is left alone: its agent has it.
 *
 * @param held what becomes of tasks whose run somebody else holds: it is waited for, or they are passed over
 * @returns the ids of those that wait again, what has ended, and the runs that were passed over
 */
export async function putTasksBack(
  tx: Transaction,
  tasks: readonly StartedTask[],
  held: "wait" | "pass over",
): Promise<{ waitingIds: string[]; finished: FinishedTasks; heldRunIds: string[] }> {
  const wanted = [...new Set(tasks.map(({ runId }) => runId))];
  const { lockedIds: runIds, heldIds: heldRunIds } = await lockTaskRuns(tx, wanted, held);
  const { rows } = await tx.execute<Parameters<typeof toFinishedTask>[0] & { is_waiting: boolean }>(sql`
    update task_run_hosts r
    set status = case when r.status = 'cancelling' then 'cancelled' else 'pending' end,
        started_at = null,
        completed_at = case when r.status = 'cancelling' then now() end,
        updated_at = now()
    from unnest(${sql.param(tasks.map(({ id }) => id))}::text[],
                ${sql.param(tasks.map(({ startedAt }) => startedAt))}::timestamptz[]) as v(id, started_at)
    where r.id = v.id and r.started_at = v.started_at and r.status in ('running', 'cancelling')
      and r.task_run_id = any(${sql.param(runIds)}::text[])
    returning r.id, r.host_id, r.organisation_id, r.task_run_id, r.status, r.status = 'pending' as is_waiting`);
  const runs = await closeTaskRuns(tx, runIds);
  return {
    waitingIds: rows.flatMap(({ id, is_waiting }) => (is_waiting ? [id] : [])),
    finished: { tasks: rows.filter(({ is_waiting }) => !is_waiting).map(toFinishedTask), runs },
    heldRunIds,
  };
}
