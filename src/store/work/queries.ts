import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";
import { hostsOf, type WorkHost } from "./work-host.js";

/** A query that waits for its answer. */
export interface PendingQuery {
  id: string;
  hostId: string;
  type: string;
}

/** Most queries of one host that are read at once. */
const MAX_PENDING = 500;

/**
 * The queries of hosts that are pending and have not expired, the oldest of each. Each host is looked up by itself, in an
 * index: queries are never deleted, and joined all of them would be read.
 */
export async function listPendingQueries(db: Queryable, hosts: readonly WorkHost[]): Promise<PendingQuery[]> {
  const { rows } = await db.execute<{ id: string; host_id: string; query_type: string }>(sql`
    select q.id, w.host_id, q.query_type
    from ${hostsOf(hosts)}
    cross join lateral (
      select q.id, q.query_type, q.requested_at
      from agent_queries q
      where q.host_id = w.host_id and q.organisation_id = w.organisation_id and q.status = 'pending'
        and q.expires_at > now() and q.deleted_at is null
      order by q.requested_at, q.id
      limit ${MAX_PENDING}
    ) q
    order by q.requested_at, q.id`);
  return rows.map((row) => ({ id: row.id, hostId: row.host_id, type: row.query_type }));
}

/** An answer as it is written. */
export interface QueryAnswer extends WorkHost {
  queryId: string;
  status: "complete" | "error";
  /** Null when there is none. */
  error: string | null;
  /** What the agent sent of both kinds: the type in the row decides which of them counts. */
  ports: readonly object[];
  services: readonly object[];
}

/**
 * Locks pending queries of their own hosts until the transaction ends; those that somebody holds are passed over.
 *
 * @returns the ids of those that somebody holds
 */
export async function lockQueries(tx: Transaction, answers: readonly QueryAnswer[]): Promise<Set<string>> {
  if (answers.length === 0) return new Set();
  const { rows } = await tx.execute<{ id: string }>(sql`
    with own as materialized (
      select q.id
      from unnest(${sql.param(answers.map(({ queryId }) => queryId))}::text[],
                  ${sql.param(answers.map(({ hostId }) => hostId))}::text[]) as v(query_id, host_id)
      join agent_queries q on q.id = v.query_id and q.host_id = v.host_id
      where q.status = 'pending' and q.deleted_at is null
    ), locked as materialized (
      select id from agent_queries where id = any(array(select id from own)) order by id for no key update skip locked
    )
    select id from own where id not in (select id from locked)`);
  return new Set(rows.map(({ id }) => id));
}

/**
 * Stores answers to queries that are pending and their host's own. Both are locked.
 *
 * @returns the ids of the queries that were answered
 */
export async function completeQueries(tx: Transaction, answers: readonly QueryAnswer[]): Promise<Set<string>> {
  if (answers.length === 0) return new Set();
  const { rows } = await tx.execute<{ id: string }>(sql`
    update agent_queries q
    set status = v.status,
        result = case when v.status = 'complete' then case q.query_type
                   when 'list_ports' then jsonb_build_object('ports', v.ports)
                   when 'list_services' then jsonb_build_object('services', v.services)
                 end end,
        error = v.error,
        completed_at = now(),
        updated_at = now()
    from (
      select distinct on ("queryId", "hostId") *
      from jsonb_to_recordset(${JSON.stringify(answers)}::jsonb) as r(
        "queryId" text, "hostId" text, "organisationId" text, status text, error text, ports jsonb, services jsonb)
    ) v
    where q.id = v."queryId" and q.host_id = v."hostId" and q.organisation_id = v."organisationId"
      and q.status = 'pending' and q.deleted_at is null
    returning q.id`);
  return new Set(rows.map(({ id }) => id));
}
