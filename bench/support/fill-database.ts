import { sql } from "drizzle-orm";
import { openDatabase } from "../../dist/store/database.js";

const METRICS_AT_ONCE = 1_000_000;

/** Writes hosts with their agents, and metrics of them that were taken one after the other, as years of use leave them. */
export async function fillDatabase(url: string, { hosts, metrics }: { hosts: number; metrics: number }): Promise<void> {
  const database = openDatabase({ url, maxConnections: 1, statementTimeoutMs: 600_000 });
  const { db } = database;
  const { rows } = await db.execute<{ id: string }>(sql`select id from organisations limit 1`);
  const organisation = sql`${rows[0]?.id ?? ""}::text`;
  const agent = sql`'old-agent-' || n`;
  await db.execute(sql`
    insert into agents (id, organisation_id, hostname, public_key, status, last_heartbeat_at)
    select ${agent}, ${organisation}, 'old-' || n, 'key of ' || n, 'offline', now() - interval '1 day'
    from generate_series(1, ${hosts}::int) n`);
  await db.execute(sql`
    insert into hosts (id, organisation_id, agent_id, hostname, status, last_seen_at)
    select 'old-host-' || n, ${organisation}, ${agent}, 'old-' || n, 'offline', now() - interval '1 day'
    from generate_series(1, ${hosts}::int) n`);
  // What they refer to is there.
  await db.execute(sql`set session_replication_role = replica`);
  for (let from = 0; from < metrics; from += METRICS_AT_ONCE) {
    const to = Math.min(from + METRICS_AT_ONCE, metrics);
    await db.execute(sql`
      insert into host_metrics
        (id, organisation_id, host_id, recorded_at, cpu_percent, memory_percent, disk_percent, uptime_seconds)
      select md5(n::text), ${organisation}, 'old-host-' || (n % ${hosts}::int + 1),
        now() - interval '1 day' - (${metrics}::int - n) * interval '10 milliseconds', 1, 2, 3, n
      from generate_series(${from}::int, ${to}::int - 1) n`);
  }
  await db.execute(sql`set session_replication_role = origin`);
  await db.execute(sql`vacuum analyze`);
  await database.close();
}
