import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { hasHostname } from "../hosts/hostname-condition.js";
import type { Transaction } from "../transaction.js";
import { closeTaskRuns, lockTaskRuns } from "./tasks/task-runs.js";
import type { WorkHost } from "./work-host.js";

/** A query or a task that has not ended. */
export interface OpenItem {
  kind: "query" | "task";
  id: string;
  /** The run of a task. */
  runId: string | null;
  hostname: string;
  type: string;
  status: string;
  createdAt: Date;
  /** When a task was sent to its agent. */
  startedAt: Date | null;
}

/** Open queries and tasks, the newest first, of all hosts, of one, or of those with this name. */
export async function listOpenItems(
  db: Queryable,
  { hostId, hostname, limit }: { hostId?: string; hostname?: string | undefined; limit: number },
): Promise<OpenItem[]> {
  const named = hostname === undefined ? sql`true` : hasHostname(sql`h.hostname`, hostname);
  const ofHost = hostId === undefined ? named : sql`h.id = ${hostId}`;
  const { rows } = await db.execute<{
    kind: OpenItem["kind"];
    id: string;
    run_id: string | null;
    hostname: string;
    type: string;
    status: string;
    created_at: string;
    started_at: string | null;
  }>(sql`
    select *
    from (
      select 'task' as kind, r.id, r.task_run_id as run_id, h.hostname, run.task_type as type, r.status, r.created_at,
             r.started_at
      from task_run_hosts r join task_runs run on run.id = r.task_run_id join hosts h on h.id = r.host_id
      where r.status in ('pending', 'running', 'cancelling') and r.deleted_at is null and ${ofHost}
      union all
      select 'query', q.id, null, h.hostname, q.query_type, q.status, q.created_at, null
      from agent_queries q join hosts h on h.id = q.host_id
      where q.status = 'pending' and q.expires_at > now() and q.deleted_at is null and ${ofHost}
    ) items
    order by created_at desc, id
    limit ${limit}`);
  return rows.map((row) => ({
    kind: row.kind,
    id: row.id,
    runId: row.run_id,
    hostname: row.hostname,
    type: row.type,
    status: row.status,
    createdAt: new Date(row.created_at),
    startedAt: row.started_at === null ? null : new Date(row.started_at),
  }));
}

/** A task that was stopped. */
export interface CancelledTask extends WorkHost {
  id: string;
  runId: string;
  hostname: string;
  /** `cancelled` when it has ended, `cancelling` when its agent is to be told. */
  status: "cancelled" | "cancelling";
}

/**
 * Stops a task as the web app does: one that waits is cancelled, one that runs is to be cancelled, and its agent is told.
 *
 * @returns its host's name and what it is now; undefined when it is not pending or running
 */
export async function cancelTask(tx: Transaction, taskId: string): Promise<CancelledTask | undefined> {
  const { rows: runs } = await tx.execute<{ task_run_id: string }>(sql`
    select task_run_id from task_run_hosts where id = ${taskId}`);
  const runIds = runs.map(({ task_run_id }) => task_run_id);
  await lockTaskRuns(tx, runIds);
  const { rows } = await tx.execute<{
    id: string;
    hostname: string;
    status: CancelledTask["status"];
    host_id: string;
    organisation_id: string;
    task_run_id: string;
  }>(sql`
    update task_run_hosts r
    set status = case when r.status = 'pending' then 'cancelled' else 'cancelling' end,
        completed_at = case when r.status = 'pending' then now() end,
        updated_at = now()
    from hosts h
    where r.id = ${taskId} and h.id = r.host_id and r.status in ('pending', 'running') and r.deleted_at is null
    returning r.id, h.hostname, r.status, r.host_id, r.organisation_id, r.task_run_id`);
  await closeTaskRuns(tx, runIds);
  const [row] = rows;
  return (
    row && {
      id: row.id,
      runId: row.task_run_id,
      hostId: row.host_id,
      organisationId: row.organisation_id,
      hostname: row.hostname,
      status: row.status,
    }
  );
}
