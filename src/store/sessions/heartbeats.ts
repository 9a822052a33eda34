import { sql } from "drizzle-orm";
import { isCallingStatus } from "../agents/calling-statuses.js";
import type { HostInventory } from "../hosts/host-inventories.js";
import type { Transaction } from "../transaction.js";

/** The values of a heartbeat that are written every time. */
export interface Vitals {
  /** 0 to 100; null when it is not a number. */
  cpuPercent: number | null;
  memoryPercent: number | null;
  diskPercent: number | null;
  /** 0 to 2,147,483,647. */
  uptimeSeconds: number;
  /** Null when empty: an empty value never overwrites. */
  agentVersion: string | null;
  os: string | null;
  osVersion: string | null;
  arch: string | null;
  /** When the agent took them, by its own clock: Unix seconds; 0 when it does not say. */
  takenAtUnix: number;
}

/** One heartbeat as it is written. Its id and time are fixed before the first try, so that a retry adds nothing. */
export interface HeartbeatRow extends Vitals {
  metricId: string;
  agentId: string;
  hostId: string;
  organisationId: string;
  /** Of the session it came over. */
  epoch: number;
  /** When the service received it. */
  receivedAt: Date;
  /** Null when it did not change. */
  inventory: HostInventory | null;
  /** It is no sample of its own, and adds nothing to the time series. */
  isRepeat: boolean;
  /** What the session learned of its agent's interval; null when there is nothing new. */
  intervalMs: number | null;
}

/**
 * The heartbeat of each host that says how the host is: of a session that took the place of another one, both may have
 * one in a batch, in either order. What the other one found unchanged, the newer session has not told yet.
 */
export function newestOfEachHost(rows: readonly HeartbeatRow[]): HeartbeatRow[] {
  const newest = new Map<string, HeartbeatRow>();
  for (const row of rows) {
    const other = newest.get(row.hostId);
    if (other === undefined || other.epoch <= row.epoch) newest.set(row.hostId, row);
  }
  return [...newest.values()];
}

/**
 * Writes heartbeats whose hosts and agents are locked: vitals of the hosts, liveness of the agents, one row of the
 * time series each. In `hosts` stands the newest one of each.
 *
 * @returns those that the time series did not have yet: not what an earlier try stored that seemed to fail
 */
export async function writeHeartbeats(tx: Transaction, rows: readonly HeartbeatRow[]): Promise<HeartbeatRow[]> {
  const newest = newestOfEachHost(rows);
  const samples = rows.filter(({ isRepeat }) => !isRepeat);
  const newestOf = columnsOf(newest);
  const samplesOf = columnsOf(samples);
  await writeIntervals(tx, newest);
  const { rows: stored } = await tx.execute<{ id: string }>(sql`
    with updated_hosts as (
      update hosts h
      set cpu_percent = v.cpu_percent,
          memory_percent = v.memory_percent,
          disk_percent = v.disk_percent,
          uptime_seconds = v.uptime_seconds,
          os = coalesce(v.os, h.os),
          os_version = coalesce(v.os_version, h.os_version),
          arch = coalesce(v.arch, h.arch),
          status = 'online',
          last_seen_at = now(),
          updated_at = now()
      from unnest(
        ${newestOf((r) => r.hostId)}::text[], ${newestOf((r) => r.cpuPercent)}::real[],
        ${newestOf((r) => r.memoryPercent)}::real[], ${newestOf((r) => r.diskPercent)}::real[],
        ${newestOf((r) => r.uptimeSeconds)}::int[], ${newestOf((r) => r.os)}::text[],
        ${newestOf((r) => r.osVersion)}::text[], ${newestOf((r) => r.arch)}::text[]
      ) as v(host_id, cpu_percent, memory_percent, disk_percent, uptime_seconds, os, os_version, arch)
      where h.id = v.host_id
    ), updated_agents as (
      update agents a
      set last_heartbeat_at = now(),
          version = coalesce(v.version, a.version),
          status = 'active',
          updated_at = now()
      from unnest(${newestOf((r) => r.agentId)}::text[], ${newestOf((r) => r.agentVersion)}::text[]) as v(agent_id, version)
      where a.id = v.agent_id and ${isCallingStatus(sql`a.status`)}
    )
    insert into host_metrics
      (id, organisation_id, host_id, recorded_at, cpu_percent, memory_percent, disk_percent, uptime_seconds)
    select * from unnest(
      ${samplesOf((r) => r.metricId)}::text[], ${samplesOf((r) => r.organisationId)}::text[],
      ${samplesOf((r) => r.hostId)}::text[], ${samplesOf((r) => r.receivedAt)}::timestamptz[],
      ${samplesOf((r) => r.cpuPercent)}::real[], ${samplesOf((r) => r.memoryPercent)}::real[],
      ${samplesOf((r) => r.diskPercent)}::real[], ${samplesOf((r) => r.uptimeSeconds)}::int[])
    on conflict do nothing
    returning id`);
  const ids = new Set(stored.map(({ id }) => id));
  return samples.filter(({ metricId }) => ids.has(metricId));
}

function columnsOf(rows: readonly HeartbeatRow[]) {
  return (of: (row: HeartbeatRow) => unknown) => sql.param(rows.map(of));
}

/** Keeps learned intervals with the current sessions, where whoever sweeps them finds them. */
async function writeIntervals(tx: Transaction, rows: readonly HeartbeatRow[]): Promise<void> {
  const learned = rows.filter(({ intervalMs }) => intervalMs !== null);
  if (learned.length === 0) return;
  const agentIds = sql`${sql.param(learned.map(({ agentId }) => agentId))}::text[]`;
  await tx.execute(sql`
    select from ingest.agent_sessions where agent_id = any(${agentIds}) order by agent_id for no key update`);
  await tx.execute(sql`
    update ingest.agent_sessions s set interval_ms = v.interval_ms
    from unnest(
      ${agentIds}, ${sql.param(learned.map(({ epoch }) => epoch))}::bigint[],
      ${sql.param(learned.map(({ intervalMs }) => intervalMs))}::int[]
    ) as v(agent_id, epoch, interval_ms)
    where s.agent_id = v.agent_id and s.epoch = v.epoch`);
}
