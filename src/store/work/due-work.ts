import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { CHECKS_DIGEST } from "./checks.js";
import type { WorkHost } from "./work-host.js";

/** A host whose session is here, and what its agent was told last. */
export interface ToldHost extends WorkHost {
  /** Of the checks it was sent. */
  checksDigest: string;
}

/** Something is due for a host. */
export interface DueHost {
  hostId: string;
  kind: "checks" | "queries" | "tasks";
}

/**
 * Finds in one statement for which hosts something is due, whatever was notified. Each host is looked up by itself, in an
 * index: joined, PostgreSQL would read all of a table that keeps what was answered for years.
 */
export async function findDueHosts(db: Queryable, hosts: readonly ToldHost[]): Promise<DueHost[]> {
  const { rows } = await db.execute<{ host_id: string; kind: DueHost["kind"] }>(sql`
    with w as materialized (
      select * from unnest(
        ${sql.param(hosts.map(({ hostId }) => hostId))}::text[],
        ${sql.param(hosts.map(({ organisationId }) => organisationId))}::text[],
        ${sql.param(hosts.map(({ checksDigest }) => checksDigest))}::text[]
      ) as w(host_id, organisation_id, checks_digest)
    )
    select w.host_id, 'checks' as kind
    from w cross join lateral (
      select ${CHECKS_DIGEST} as digest
      from checks c
      where c.organisation_id = w.organisation_id and c.host_id = w.host_id and c.enabled and c.deleted_at is null
    ) d
    where d.digest <> w.checks_digest
    union all
    select w.host_id, 'queries'
    from w cross join lateral (
      select from agent_queries q
      where q.host_id = w.host_id and q.organisation_id = w.organisation_id and q.status = 'pending'
        and q.expires_at > now() and q.deleted_at is null
      limit 1
    ) q
    union all
    select w.host_id, 'tasks'
    from w cross join lateral (
      select from task_run_hosts r
      where r.host_id = w.host_id and r.organisation_id = w.organisation_id and r.status in ('pending', 'cancelling')
        and r.deleted_at is null
      limit 1
    ) r`);
  return rows.map(({ host_id, kind }) => ({ hostId: host_id, kind }));
}
