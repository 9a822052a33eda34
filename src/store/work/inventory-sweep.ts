import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";
import { INVENTORY_TASK } from "./tasks/tasks.js";
import { hostsOf, type WorkHost } from "./work-host.js";

/** A host whose organisation wants its software scanned, and no scan is open. */
export interface ScanCandidate extends WorkHost {
  /** `metadata.lastSoftwareScanAt` as it stands there; it may be anything. */
  lastScanAt: string | null;
  /** `softwareInventorySettings.intervalHours` as it stands there. */
  intervalHours: string | null;
}

/** The hosts that are online and may be due for a scan. */
export async function listScanCandidates(db: Queryable): Promise<ScanCandidate[]> {
  const { rows } = await db.execute<{
    host_id: string;
    organisation_id: string;
    last_scan_at: string | null;
    interval_hours: string | null;
  }>(sql`
    select h.id as host_id, h.organisation_id, h.metadata ->> 'lastSoftwareScanAt' as last_scan_at,
           o.metadata -> 'softwareInventorySettings' ->> 'intervalHours' as interval_hours
    from organisations o
    join hosts h on h.organisation_id = o.id
    where o.deleted_at is null and o.metadata -> 'softwareInventorySettings' ->> 'enabled' = 'true'
      and h.deleted_at is null and h.status = 'online' and h.agent_id is not null
      and not exists (
        select from task_run_hosts r join task_runs run on run.id = r.task_run_id
        where r.host_id = h.id and r.status in ('pending', 'running', 'cancelling') and r.deleted_at is null
          and run.task_type = ${INVENTORY_TASK})`);
  return rows.map((row) => ({
    hostId: row.host_id,
    organisationId: row.organisation_id,
    lastScanAt: row.last_scan_at,
    intervalHours: row.interval_hours,
  }));
}

/**
 * Those of the hosts whose newest scan ended not longer than `withinMs` ago: it failed, was stopped, or its time could not
 * be noted on the host.
 */
export async function listHostsScannedLately(
  db: Queryable,
  hosts: readonly WorkHost[],
  withinMs: number,
): Promise<Set<string>> {
  const { rows } = await db.execute<{ host_id: string }>(sql`
    select w.host_id
    from ${hostsOf(hosts)}
    cross join lateral (
      select r.status, r.completed_at
      from task_run_hosts r join task_runs run on run.id = r.task_run_id
      where r.host_id = w.host_id and run.task_type = ${INVENTORY_TASK} and r.deleted_at is null
        and r.status in ('success', 'failed', 'cancelled')
      order by r.created_at desc
      limit 1
    ) newest
    where newest.completed_at > now() - make_interval(secs => ${withinMs / 1000})`);
  return new Set(rows.map(({ host_id }) => host_id));
}

/** Makes a run of one row for each host, as the web app does for a rescan; nobody triggered it. */
export async function insertScanRuns(
  tx: Transaction,
  scans: readonly (WorkHost & { runId: string; taskId: string })[],
): Promise<void> {
  const rows = sql`jsonb_to_recordset(${JSON.stringify(scans)}::jsonb) as v(
    "runId" text, "taskId" text, "hostId" text, "organisationId" text)`;
  await tx.execute(sql`
    insert into task_runs (id, organisation_id, target_type, target_id, task_type, config, max_parallel)
    select "runId", "organisationId", 'host', "hostId", ${INVENTORY_TASK}, '{}', 1 from ${rows}`);
  await tx.execute(sql`
    insert into task_run_hosts (id, organisation_id, task_run_id, host_id)
    select "taskId", "organisationId", "runId", "hostId" from ${rows}`);
}
