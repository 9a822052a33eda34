import { sql } from "drizzle-orm";
import type { Transaction } from "../../transaction.js";
import type { WorkHost } from "../work-host.js";
import { closeTaskRuns, lockTaskRuns } from "./task-runs.js";
import { INVENTORY_TASK } from "./tasks.js";

/** How a task ended, as it is written. */
export interface TaskOutcome extends WorkHost {
  taskId: string;
  exitCode: number;
  /** JSON text; null when there is none, or it is not JSON. */
  resultJson: string | null;
  /** Appended to the output; empty when there is none. */
  error: string;
}

/** A row that came to its end. */
export interface FinishedTask {
  id: string;
  hostId: string;
  organisationId: string;
  runId: string;
  status: "success" | "failed" | "cancelled";
}

/** What ended, and the runs that it closed. */
export interface FinishedTasks {
  tasks: FinishedTask[];
  runs: { id: string; status: string }[];
}

type FinishedRow = {
  id: string;
  host_id: string;
  organisation_id: string;
  task_run_id: string;
  status: FinishedTask["status"];
};

/** A row as {@link FinishedTask}. */
export const toFinishedTask = (row: FinishedRow): FinishedTask => ({
  id: row.id,
  hostId: row.host_id,
  organisationId: row.organisation_id,
  runId: row.task_run_id,
  status: row.status,
});

/**
 * Locks the runs of tasks of their own hosts, and waits for whoever holds one; {@link lockTasks} does not. A run is locked
 * before its rows, everywhere: before anything is written to a row that is to end in the same transaction.
 *
 * @returns the ids of the runs
 */
export async function lockRunsOf(tx: Transaction, outcomes: readonly TaskOutcome[]): Promise<string[]> {
  if (outcomes.length === 0) return [];
  const { rows } = await tx.execute<{ task_run_id: string }>(sql`
    select distinct r.task_run_id
    from unnest(${sql.param(outcomes.map(({ taskId }) => taskId))}::text[],
                ${sql.param(outcomes.map(({ hostId }) => hostId))}::text[]) as v(task_id, host_id)
    join task_run_hosts r on r.id = v.task_id and r.host_id = v.host_id`);
  const runIds = rows.map(({ task_run_id }) => task_run_id);
  await lockTaskRuns(tx, runIds);
  return runIds;
}

/**
 * Ends open tasks of their own hosts, and closes the runs that have no open row left. A task that has ended keeps its
 * end: a late result never overwrites it. The hosts are locked, and the runs.
 */
export async function finishTasks(
  tx: Transaction,
  outcomes: readonly TaskOutcome[],
  runIds: readonly string[],
): Promise<FinishedTasks> {
  if (outcomes.length === 0) return { tasks: [], runs: [] };
  const { rows } = await tx.execute<FinishedRow>(sql`
    update task_run_hosts r
    set status = case when r.status = 'cancelling' then 'cancelled'
                      when v."exitCode" = 0 then 'success'
                      else 'failed' end,
        exit_code = v."exitCode",
        result = v."resultJson"::jsonb,
        raw_output = case when v.error = '' then r.raw_output
                          when r.raw_output = '' then v.error
                          else r.raw_output || e'\n' || v.error end,
        completed_at = now(),
        updated_at = now()
    from (
      select distinct on ("taskId", "hostId") *
      from jsonb_to_recordset(${JSON.stringify(outcomes)}::jsonb) as o(
        "taskId" text, "hostId" text, "organisationId" text, "exitCode" int, "resultJson" text, error text)
    ) v
    where r.id = v."taskId" and r.host_id = v."hostId" and r.organisation_id = v."organisationId"
      and r.status in ('pending', 'running', 'cancelling') and r.deleted_at is null
    returning r.id, r.host_id, r.organisation_id, r.task_run_id, r.status`);
  return { tasks: rows.map(toFinishedTask), runs: await closeTaskRuns(tx, runIds) };
}

/**
 * Those of the tasks that are software inventories of their own hosts. One ends with its upload, and what its agent says of
 * it afterwards is expected, and no news.
 */
export async function findOwnInventories(
  tx: Transaction,
  tasks: readonly (WorkHost & { taskId: string })[],
): Promise<Set<string>> {
  if (tasks.length === 0) return new Set();
  const { rows } = await tx.execute<{ id: string }>(sql`
    select r.id
    from unnest(${sql.param(tasks.map(({ taskId }) => taskId))}::text[],
                ${sql.param(tasks.map(({ hostId }) => hostId))}::text[]) as v(task_id, host_id)
    join task_run_hosts r on r.id = v.task_id and r.host_id = v.host_id
    join task_runs run on run.id = r.task_run_id
    where run.task_type = ${INVENTORY_TASK}`);
  return new Set(rows.map(({ id }) => id));
}
