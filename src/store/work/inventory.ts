import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";
import { INVENTORY_TASK } from "./tasks/tasks.js";
import type { WorkHost } from "./work-host.js";

/** A package as it is written; name, version and architecture together are one package. */
export interface PackageRow {
  /** Of a new row; fixed before the first try. */
  id: string;
  name: string;
  version: string;
  /** Empty rather than null, which would make every row distinct. */
  architecture: string;
  publisher: string | null;
  /** Unix seconds; null when unknown. */
  installedAt: number | null;
}

/** What is known of the task that an upload names. */
export interface InventoryTask {
  runId: string;
  isInventory: boolean;
  isOpen: boolean;
  /** An upload for it was stored. */
  isScanned: boolean;
}

/** The row of `task_run_hosts` that an upload names, if it is its host's own. */
export async function findInventoryTask(
  db: Queryable,
  taskId: string,
  { hostId, organisationId }: WorkHost,
): Promise<InventoryTask | undefined> {
  const { rows } = await db.execute<{
    task_run_id: string;
    is_inventory: boolean;
    is_open: boolean;
    is_scanned: boolean;
  }>(sql`
    select r.task_run_id, run.task_type = ${INVENTORY_TASK} as is_inventory,
           r.status in ('pending', 'running', 'cancelling') as is_open,
           exists (
             select from software_scans s
             where s.host_id = r.host_id and s.task_run_host_id = r.id and s.status = 'success') as is_scanned
    from task_run_hosts r join task_runs run on run.id = r.task_run_id
    where r.id = ${taskId} and r.host_id = ${hostId} and r.organisation_id = ${organisationId} and r.deleted_at is null`);
  const [row] = rows;
  return (
    row && { runId: row.task_run_id, isInventory: row.is_inventory, isOpen: row.is_open, isScanned: row.is_scanned }
  );
}

/** A scan as it ended. */
export interface EndedScan extends WorkHost {
  id: string;
  taskId: string;
  source: string;
  startedAt: Date;
}

/** What a complete scan changed. */
export interface ScanCounts {
  packages: number;
  /** New rows, not those that came back. */
  added: number;
  removed: number;
}

/**
 * Stores a complete scan: what it lists is there, what it does not list is removed. Scans of one host are stored one
 * after the other. The host is locked.
 */
export async function storeScan(
  tx: Transaction,
  scan: EndedScan,
  packages: readonly PackageRow[],
): Promise<ScanCounts> {
  const { hostId, organisationId, source } = scan;
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`ct-ops-ingest/inventory:${hostId}`}, 0))`);
  // Taken under the lock: the time at which a transaction began may lie before what another one stored.
  const { rows: clock } = await tx.execute<{ now: string }>(sql`select clock_timestamp()::text as now`);
  const now = sql`${clock[0]?.now}::timestamptz`;
  const { rows: stored } = await tx.execute<{ added: number }>(sql`
    with stored as (
      insert into software_packages as p
        (id, organisation_id, host_id, name, version, architecture, publisher, source, install_date, first_seen_at,
         last_seen_at, created_at, updated_at)
      select v.id, ${organisationId}, ${hostId}, v.name, v.version, v.architecture, v.publisher, ${source},
             to_timestamp(v."installedAt"), ${now}, ${now}, ${now}, ${now}
      from jsonb_to_recordset(${JSON.stringify(packages)}::jsonb) as v(
        id text, name text, version text, architecture text, publisher text, "installedAt" float8)
      on conflict (organisation_id, host_id, name, version, architecture) do update
        set last_seen_at = excluded.last_seen_at, publisher = excluded.publisher, removed_at = null,
            updated_at = excluded.updated_at
      returning (xmax = 0) as is_new
    )
    select count(*) filter (where is_new)::int as added from stored`);
  const { rows: removed } = await tx.execute<{ count: number }>(sql`
    with removed as (
      update software_packages
      set removed_at = ${now}, updated_at = ${now}
      where organisation_id = ${organisationId} and host_id = ${hostId} and removed_at is null and last_seen_at < ${now}
      returning 1
    )
    select count(*)::int as count from removed`);
  const counts = { packages: packages.length, added: stored[0]?.added ?? 0, removed: removed[0]?.count ?? 0 };
  await tx.execute(sql`
    insert into software_scans
      (id, organisation_id, host_id, task_run_host_id, status, source, package_count, added_count, removed_count,
       unchanged_count, started_at, completed_at)
    values (${scan.id}, ${organisationId}, ${hostId}, ${scan.taskId}, 'success', ${source}, ${counts.packages},
            ${counts.added}, ${counts.removed}, ${counts.packages - counts.added}, ${scan.startedAt}, ${now})
    on conflict do nothing`);
  return counts;
}

/** Records an upload that broke off; no package is touched. The host is locked. */
export async function insertFailedScan(tx: Transaction, scan: EndedScan, errorMessage: string): Promise<void> {
  await tx.execute(sql`
    insert into software_scans
      (id, organisation_id, host_id, task_run_host_id, status, source, error_message, started_at, completed_at)
    values (${scan.id}, ${scan.organisationId}, ${scan.hostId}, ${scan.taskId}, 'failed', ${scan.source},
            ${errorMessage}, ${scan.startedAt}, now())
    on conflict do nothing`);
}

/** Notes on the host when its software was scanned last, for the sweep and the web app. */
export async function noteSoftwareScan(db: Queryable, { hostId }: WorkHost, scannedAt: Date): Promise<void> {
  await db.execute(sql`
    update hosts
    set metadata = case when jsonb_typeof(metadata) = 'object' then metadata else '{}' end || jsonb_build_object('lastSoftwareScanAt', ${scannedAt.toISOString()}::text)
    where id = ${hostId} and deleted_at is null`);
}
