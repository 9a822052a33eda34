import { sql } from "drizzle-orm";
import type { Queryable } from "../../database.js";
import type { Transaction } from "../../transaction.js";
import { type FinishedTask, toFinishedTask } from "./task-results.js";
import { closeTaskRuns, lockTaskRuns } from "./task-runs.js";

/** What is overdue: rows by their ids, with the runs they belong to. */
export interface OverdueTasks {
  /** Running, or told to stop, for longer than a task may run. */
  timedOutIds: string[];
  /** Pending for longer than a task may wait. */
  expiredIds: string[];
  /** Runs that are open: of the rows above, and those without an open row. */
  runIds: string[];
}

/** Finds what is overdue, at most `limit` of each. */
export async function findOverdueTasks(
  db: Queryable,
  { timeoutMs, maxAgeMs, limit }: { timeoutMs: number; maxAgeMs: number; limit: number },
): Promise<OverdueTasks> {
  const { rows } = await db.execute<{ kind: "timed out" | "expired" | "run"; id: string; task_run_id: string }>(sql`
    (select 'timed out' as kind, id, task_run_id
     from task_run_hosts
     where status in ('running', 'cancelling') and deleted_at is null
       and coalesce(started_at, updated_at) < now() - make_interval(secs => ${timeoutMs / 1000})
     limit ${limit})
    union all
    (select 'expired', id, task_run_id
     from task_run_hosts
     where status = 'pending' and deleted_at is null and created_at < now() - make_interval(secs => ${maxAgeMs / 1000})
     limit ${limit})
    union all
    (select 'run', null, run.id
     from task_runs run
     where run.status in ('pending', 'running', 'cancelling') and run.deleted_at is null
       and exists (select from task_run_hosts r where r.task_run_id = run.id and r.deleted_at is null)
       and not exists (
         select from task_run_hosts r
         where r.task_run_id = run.id and r.deleted_at is null and r.status in ('pending', 'running', 'cancelling'))
     limit ${limit})`);
  const idsOf = (kind: string) => rows.filter((row) => row.kind === kind).map(({ id }) => id);
  return {
    timedOutIds: idsOf("timed out"),
    expiredIds: idsOf("expired"),
    runIds: [...new Set(rows.map(({ task_run_id }) => task_run_id))],
  };
}

/**
 * Ends what is overdue and closes its runs. What has changed since it was found is left alone.
 *
 * @param reasons appended to the output, for whoever looks at the row
 */
export async function endOverdueTasks(
  tx: Transaction,
  { timedOutIds, expiredIds, runIds }: OverdueTasks,
  reasons: { timedOut: string; expired: string },
): Promise<{ tasks: FinishedTask[]; runs: { id: string; status: string }[] }> {
  await lockTaskRuns(tx, runIds);
  const { rows } = await tx.execute<Parameters<typeof toFinishedTask>[0]>(sql`
    update task_run_hosts r
    set status = case when r.status = 'cancelling' then 'cancelled' else 'failed' end,
        exit_code = -1,
        raw_output = concat_ws(e'\n', nullif(r.raw_output, ''),
                               case when r.status = 'pending' then ${reasons.expired} else ${reasons.timedOut} end),
        completed_at = now(),
        updated_at = now()
    where r.deleted_at is null
      and (r.id = any(${sql.param(timedOutIds)}::text[]) and r.status in ('running', 'cancelling')
           or r.id = any(${sql.param(expiredIds)}::text[]) and r.status = 'pending')
    returning r.id, r.host_id, r.organisation_id, r.task_run_id, r.status`);
  return { tasks: rows.map(toFinishedTask), runs: await closeTaskRuns(tx, runIds) };
}
