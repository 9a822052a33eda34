import { sql } from "drizzle-orm";
import type { Queryable } from "../../database.js";
import type { Transaction } from "../../transaction.js";
import { hostsOf, type WorkHost } from "../work-host.js";
import { lockTaskRuns } from "./task-runs.js";

/** The type of task that released agents carry out. */
export const INVENTORY_TASK = "software_inventory";

/** A task that is to be sent to a host. */
export interface DueTask extends WorkHost {
  id: string;
  runId: string;
  type: string;
  /** `config::text`. */
  configText: string;
}

/** A task that was marked running. */
export interface StartedTask extends DueTask {
  /** As PostgreSQL writes it, to the microsecond: no two starts of a task have the same. */
  startedAt: string;
}

type DueTaskRow = {
  id: string;
  host_id: string;
  organisation_id: string;
  task_run_id: string;
  task_type: string;
  config: string;
};

const toDueTask = (row: DueTaskRow): DueTask => ({
  id: row.id,
  hostId: row.host_id,
  organisationId: row.organisation_id,
  runId: row.task_run_id,
  type: row.task_type,
  configText: row.config,
});

/**
 * The runs that have a pending row of one of the hosts.
 *
 * @param maxAgeMs rows that have waited for longer are never sent
 */
export async function listWaitingRuns(
  db: Queryable,
  hosts: readonly WorkHost[],
  { runIds, maxAgeMs }: { runIds?: readonly string[] | undefined; maxAgeMs: number },
): Promise<string[]> {
  const { rows } = await db.execute<{ task_run_id: string }>(sql`
    select distinct r.task_run_id
    from ${hostsOf(hosts)}
    join task_run_hosts r on r.host_id = w.host_id and r.organisation_id = w.organisation_id
    where r.status = 'pending' and r.deleted_at is null and r.created_at > now() - make_interval(secs => ${maxAgeMs / 1000})
      ${runIds === undefined ? sql`` : sql`and r.task_run_id = any(${sql.param(runIds)}::text[])`}`);
  return rows.map(({ task_run_id }) => task_run_id);
}

/**
 * Marks pending rows of the hosts running, no more than `max_parallel` of their run allows over all instances. The runs
 * are locked before rows are counted. Runs and rows that somebody holds are passed over: the tasks of all hosts would wait
 * for them.
 *
 * @param maxPerHost rows of one host that are taken at most
 * @returns what is to be sent once the transaction has committed, and the runs that were passed over
 */
export async function startTasks(
  tx: Transaction,
  hosts: readonly WorkHost[],
  { runIds, maxAgeMs, maxPerHost }: { runIds: readonly string[]; maxAgeMs: number; maxPerHost: number },
): Promise<{ started: StartedTask[]; heldRunIds: string[] }> {
  const { lockedIds, heldIds: heldRunIds } = await lockTaskRuns(tx, runIds, "pass over");
  // In one statement with the update, unlike what "Row locks" in docs/architecture.md says: a scan, which alone refers to
  // such a row, is not written while it waits, and in each round trip more nobody else can start or end tasks of the run.
  const { rows } = await tx.execute<DueTaskRow & { started_at: string }>(sql`
    with runs as (
      select run.id, run.task_type, run.config::text as config,
             case when run.max_parallel <= 0 then null
                  else greatest(0, run.max_parallel - (
                    select count(*) from task_run_hosts o
                    where o.task_run_id = run.id and o.status = 'running' and o.deleted_at is null)) end as room
      from task_runs run
      where run.id = any(${sql.param(lockedIds)}::text[]) and run.status in ('pending', 'running') and run.deleted_at is null
    ), waiting as (
      select r.id, r.host_id, r.created_at, runs.id as run_id, runs.room,
             row_number() over (partition by r.host_id order by r.created_at, r.id) as nth_of_host
      from ${hostsOf(hosts)}
      join task_run_hosts r on r.host_id = w.host_id and r.organisation_id = w.organisation_id
      join runs on runs.id = r.task_run_id
      where r.status = 'pending' and r.deleted_at is null
        and r.created_at > now() - make_interval(secs => ${maxAgeMs / 1000})
        and (runs.room is null or runs.room > 0)
    ), chosen as (
      select id, room, row_number() over (partition by run_id order by created_at, id) as nth_of_run
      from waiting where nth_of_host <= ${maxPerHost}
    ), free as materialized (
      select r.id
      from chosen c join task_run_hosts r on r.id = c.id
      where c.room is null or c.nth_of_run <= c.room
      order by r.id for no key update of r skip locked
    ), started as (
      update task_run_hosts r
      set status = 'running', started_at = now(), updated_at = now()
      from free
      where r.id = free.id and r.status = 'pending'
      returning r.id, r.host_id, r.organisation_id, r.task_run_id, r.created_at, r.started_at
    ), started_runs as (
      update task_runs run
      set status = 'running', started_at = coalesce(run.started_at, now()), updated_at = now()
      where run.id in (select task_run_id from started) and run.status = 'pending'
    )
    select s.id, s.host_id, s.organisation_id, s.task_run_id, runs.task_type, runs.config,
           s.started_at::text as started_at
    from started s join runs on runs.id = s.task_run_id
    order by s.created_at, s.id`);
  return { started: rows.map((row) => ({ ...toDueTask(row), startedAt: row.started_at })), heldRunIds };
}

/**
 * The inventories that run on hosts. Their agents may have been restarted, and forgot them: sent again, one runs once
 * more, which does no harm.
 */
export async function listRunningInventories(db: Queryable, hosts: readonly WorkHost[]): Promise<DueTask[]> {
  const { rows } = await db.execute<DueTaskRow>(sql`
    select r.id, r.host_id, r.organisation_id, r.task_run_id, run.task_type, run.config::text as config
    from ${hostsOf(hosts)}
    join task_run_hosts r on r.host_id = w.host_id and r.organisation_id = w.organisation_id
    join task_runs run on run.id = r.task_run_id
    where r.status = 'running' and r.deleted_at is null and run.task_type = ${INVENTORY_TASK}
    order by r.created_at, r.id`);
  return rows.map(toDueTask);
}

/** The tasks of hosts that somebody stopped. */
export async function listCancelledTasks(
  db: Queryable,
  hosts: readonly WorkHost[],
  { runIds }: { runIds?: readonly string[] | undefined } = {},
): Promise<{ id: string; hostId: string }[]> {
  const { rows } = await db.execute<{ id: string; host_id: string }>(sql`
    select r.id, r.host_id
    from ${hostsOf(hosts)}
    join task_run_hosts r on r.host_id = w.host_id and r.organisation_id = w.organisation_id
    where r.status = 'cancelling' and r.deleted_at is null
      ${runIds === undefined ? sql`` : sql`and r.task_run_id = any(${sql.param(runIds)}::text[])`}`);
  return rows.map(({ id, host_id }) => ({ id, hostId: host_id }));
}
