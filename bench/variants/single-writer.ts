/**
 * Loaded with `--import` before a service, this stores each heartbeat in a transaction of its own, of nine single
 * statements, as the earlier service did: what the group-commit writer is compared with.
 */
import { type SQL, sql } from "drizzle-orm";
import { HeartbeatWriter } from "../../dist/heartbeat/heartbeat-writer.js";
import { openDatabase } from "../../dist/store/database.js";

const CONNECTIONS = 15;

const database = openDatabase({ url: process.env.DATABASE_URL ?? "", maxConnections: CONNECTIONS });

HeartbeatWriter.prototype.write = async (row) => {
  const statements: SQL[] = [
    sql`select status from agents where id = ${row.agentId} and deleted_at is null`,
    sql`select id from hosts where id = ${row.hostId} and deleted_at is null`,
    sql`select epoch from ingest.agent_sessions where agent_id = ${row.agentId}`,
    sql`update agents set last_heartbeat_at = now(), status = 'active', updated_at = now() where id = ${row.agentId}`,
    sql`update agents set version = ${row.agentVersion} where id = ${row.agentId}`,
    sql`update hosts set cpu_percent = ${row.cpuPercent}, memory_percent = ${row.memoryPercent},
          disk_percent = ${row.diskPercent}, uptime_seconds = ${row.uptimeSeconds}, updated_at = now()
        where id = ${row.hostId}`,
    sql`update hosts set os = ${row.os}, os_version = ${row.osVersion}, arch = ${row.arch} where id = ${row.hostId}`,
    sql`update hosts set status = 'online', last_seen_at = now() where id = ${row.hostId}`,
    sql`insert into host_metrics (id, organisation_id, host_id, recorded_at, cpu_percent, memory_percent, disk_percent, uptime_seconds)
        values (${row.metricId}, ${row.organisationId}, ${row.hostId}, ${row.receivedAt}, ${row.cpuPercent},
                ${row.memoryPercent}, ${row.diskPercent}, ${row.uptimeSeconds})`,
  ];
  await database.transaction(async (tx) => {
    for (const statement of statements) await tx.execute(statement);
  });
  return { cameBack: false, inventory: row.inventory === null ? undefined : { isStored: true, ageMs: 0 } };
};
