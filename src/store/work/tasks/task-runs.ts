import { sql } from "drizzle-orm";
import { limitLockWaits, type Transaction } from "../../transaction.js";

/**
 * How long whoever holds a run waits for one of its rows. The web app's Stop may lock rows before their run; of two that
 * wait for each other PostgreSQL ends one after a second (`deadlock_timeout`), which may be the web app, and nobody would
 * have stopped anything. Who gives way here comes again.
 */
const ROW_WAIT_MS = 400;

/**
 * Locks task runs, in the order of their ids, until the transaction ends. Whoever changes the status of a run's rows
 * holds its lock: the last two rows of a run that end at once would otherwise each see the other one open, and the run
 * would stay open for ever; and hosts together would exceed `max_parallel`.
 *
 * @param held what becomes of a run that somebody else holds: it is waited for, or passed over
 * @returns the ids of those that are locked, and of those that were passed over
 */
export async function lockTaskRuns(
  tx: Transaction,
  runIds: readonly string[],
  held: "wait" | "pass over" = "wait",
): Promise<{ lockedIds: string[]; heldIds: string[] }> {
  const { rows } = await tx.execute<{ id: string; is_locked: boolean }>(sql`
    with locked as materialized (
      select id from task_runs where id = any(${sql.param(runIds)}::text[])
      order by id for no key update ${held === "wait" ? sql`` : sql`skip locked`}
    )
    select r.id, l.id is not null as is_locked
    from task_runs r left join locked l on l.id = r.id
    where r.id = any(${sql.param(runIds)}::text[])`);
  await limitLockWaits(tx, ROW_WAIT_MS);
  const idsOf = (isLocked: boolean) => rows.filter((row) => row.is_locked === isLocked).map(({ id }) => id);
  return { lockedIds: idsOf(true), heldIds: idsOf(false) };
}

/**
 * Closes those of the runs, which are locked, that have no open row left: failed if a row failed, else cancelled if one
 * was, else completed.
 *
 * @returns the runs that were closed, and how
 */
export async function closeTaskRuns(
  tx: Transaction,
  runIds: readonly string[],
): Promise<{ id: string; status: string }[]> {
  if (runIds.length === 0) return [];
  const { rows } = await tx.execute<{ id: string; status: string }>(sql`
    update task_runs run
    set status = ended.status, completed_at = now(), updated_at = now()
    from (
      select r.task_run_id,
             case when bool_or(r.status = 'failed') then 'failed'
                  when bool_or(r.status = 'cancelled') then 'cancelled'
                  else 'completed' end as status
      from task_run_hosts r
      where r.task_run_id = any(${sql.param(runIds)}::text[]) and r.deleted_at is null
      group by r.task_run_id
      having bool_and(r.status in ('success', 'failed', 'skipped', 'cancelled'))
    ) ended
    where run.id = ended.task_run_id and run.status in ('pending', 'running', 'cancelling')
    returning run.id, run.status`);
  return rows;
}
