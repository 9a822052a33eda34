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

/** Finds in one statement for which hosts something is due, whatever was notified. */
export async function findDueHosts(db: Queryable, hosts: readonly ToldHost[]): Promise<DueHost[]> {
  const { rows } = await db.execute<{ host_id: string; kind: DueHost["kind"] }>(sql`
    with w as materialized (
      select * from unnest(
        ${sql.param(hosts.map(({ hostId }) => hostId))}::text[],
        ${sql.param(hosts.map(({ organisationId }) => organisationId))}::text[],
        ${sql.param(hosts.map(({ checksDigest }) => checksDigest))}::text[]
      ) as w(host_id, organisation_id, checks_digest)
    ), digests as (
      select c.host_id, ${CHECKS_DIGEST} as digest
      from w join checks c on c.organisation_id = w.organisation_id and c.host_id = w.host_id
      where c.enabled and c.deleted_at is null
      group by c.host_id
    )
    select w.host_id, 'checks' as kind
    from w left join digests d on d.host_id = w.host_id
    where coalesce(d.digest, '') <> w.checks_digest
    union all
    select distinct w.host_id, 'queries'
    from w join agent_queries q on q.host_id = w.host_id and q.organisation_id = w.organisation_id
    where q.status = 'pending' and q.expires_at > now() and q.deleted_at is null
    union all
    select distinct w.host_id, 'tasks'
    from w join task_run_hosts r on r.host_id = w.host_id and r.organisation_id = w.organisation_id
    where r.status in ('pending', 'cancelling') and r.deleted_at is null`);
  return rows.map(({ host_id, kind }) => ({ hostId: host_id, kind }));
}
