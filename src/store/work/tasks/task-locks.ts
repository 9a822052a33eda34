import { sql } from "drizzle-orm";
import type { Transaction } from "../../transaction.js";
import type { WorkHost } from "../work-host.js";

/** What {@link lockTasks} found. */
export interface LockedTasks {
  /** The runs of the tasks that are to end, which are locked. */
  runIds: string[];
  /** The tasks whose row, or whose run, somebody holds: try again later. */
  busy: Set<string>;
}

/**
 * Locks tasks of their own hosts, to be written in this transaction: the runs of those that are to end, then the rows, each in
 * the order of their ids. What somebody holds is passed over, never waited for: a batch must not stand still for one run,
 * and whoever holds no lock while he waits is in no deadlock with the web app's Stop, which may lock rows before their run.
 */
export async function lockTasks(
  tx: Transaction,
  tasks: readonly (WorkHost & { taskId: string; ends: boolean })[],
): Promise<LockedTasks> {
  if (tasks.length === 0) return { runIds: [], busy: new Set() };
  const { rows } = await tx.execute<{ id: string; task_run_id: string; ends: boolean; locked: boolean }>(sql`
    with own as materialized (
      select r.id, r.task_run_id, bool_or(v.ends) as ends
      from unnest(${sql.param(tasks.map(({ taskId }) => taskId))}::text[],
                  ${sql.param(tasks.map(({ hostId }) => hostId))}::text[],
                  ${sql.param(tasks.map(({ ends }) => ends))}::bool[]) as v(task_id, host_id, ends)
      join task_run_hosts r on r.id = v.task_id and r.host_id = v.host_id
      group by r.id
    ), locked_runs as materialized (
      select id from task_runs where id = any(array(select task_run_id from own where ends))
      order by id for no key update skip locked
    ), locked_rows as materialized (
      select id from task_run_hosts
      where id = any(array(select id from own where not ends or task_run_id in (select id from locked_runs)))
      order by id for no key update skip locked
    )
    select own.id, own.task_run_id, own.ends, l.id is not null as locked
    from own left join locked_rows l on l.id = own.id`);
  const toEnd = rows.filter(({ ends, locked }) => ends && locked);
  return {
    runIds: [...new Set(toEnd.map(({ task_run_id }) => task_run_id))],
    busy: new Set(rows.filter(({ locked }) => !locked).map(({ id }) => id)),
  };
}
