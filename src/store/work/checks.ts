import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";
import { hostsOf, type WorkHost } from "./work-host.js";

/** How many results of a check are kept: what the web app shows. */
export const KEPT_RESULTS = 100;
/** Characters of an output that are shown in a list. */
const SHOWN_OUTPUT = 200;

/** One check as it is in the table. */
export interface StoredCheck {
  id: string;
  type: string;
  /** `config::text`, in the platform's spelling. */
  configText: string;
  intervalSeconds: number;
}

/** All checks that a host is to run. */
export interface CheckSet {
  hostId: string;
  checks: StoredCheck[];
  /** Changes when any of them does. */
  digest: string;
  /** The host has, or had, a check: an agent may be running one that is no longer in the set. */
  everHadAny: boolean;
}

/** The checks of a host as one value that can be compared; `c` are its enabled rows. */
export const CHECKS_DIGEST = sql`coalesce(md5(string_agg(
  concat_ws(' ', c.id, c.check_type, c.interval_seconds::text, c.config::text), e'\n' order by c.id)), '')`;

/** The enabled checks of hosts, in one statement. */
export async function listCheckSets(db: Queryable, hosts: readonly WorkHost[]): Promise<CheckSet[]> {
  const { rows } = await db.execute<{
    host_id: string;
    digest: string;
    checks: StoredCheck[] | null;
    ever_had_any: boolean;
  }>(sql`
    select w.host_id, s.digest, s.checks,
           s.checks is not null or exists (
             select from checks d where d.organisation_id = w.organisation_id and d.host_id = w.host_id
           ) as ever_had_any
    from ${hostsOf(hosts)}
    cross join lateral (
      select ${CHECKS_DIGEST} as digest,
             json_agg(json_build_object(
               'id', c.id, 'type', c.check_type, 'configText', c.config::text, 'intervalSeconds', c.interval_seconds
             ) order by c.id) as checks
      from checks c
      where c.organisation_id = w.organisation_id and c.host_id = w.host_id and c.enabled and c.deleted_at is null
    ) s`);
  return rows.map((row) => ({
    hostId: row.host_id,
    checks: row.checks ?? [],
    digest: row.digest,
    everHadAny: row.ever_had_any,
  }));
}

/** A result as it is written. Its id is fixed before the first try, so that a retry adds nothing. */
export interface CheckResultRow extends WorkHost {
  id: string;
  checkId: string;
  /** By the agent's clock, and never after the time of receipt: a row from the future would never be pruned. */
  ranAt: Date;
  status: "pass" | "fail" | "error";
  output: string;
  durationMs: number;
}

/**
 * Writes results of checks that are enabled and their host's own, and keeps the newest 100 of each check by the time it
 * ran. The hosts are locked.
 *
 * @returns the ids of the results whose check may have them, with the type of that check; of a repeat as well
 */
export async function insertCheckResults(
  tx: Transaction,
  results: readonly CheckResultRow[],
): Promise<Map<string, string>> {
  if (results.length === 0) return new Map();
  const { rows } = await tx.execute<{ id: string; check_id: string; check_type: string }>(sql`
    with accepted as (
      select v.*, c.organisation_id, c.check_type
      from ${sql`jsonb_to_recordset(${JSON.stringify(results)}::jsonb) as v(
        id text, "checkId" text, "hostId" text, "organisationId" text, "ranAt" timestamptz, status text, output text,
        "durationMs" int)`}
      join checks c on c.id = v."checkId" and c.host_id = v."hostId" and c.organisation_id = v."organisationId"
        and c.enabled and c.deleted_at is null
    ), inserted as (
      insert into check_results (id, check_id, host_id, organisation_id, ran_at, status, output, duration_ms)
      select id, "checkId", "hostId", organisation_id, "ranAt", status, output, "durationMs" from accepted
      on conflict do nothing
    )
    select id, "checkId" as check_id, check_type from accepted`);
  const checkIds = [...new Set(rows.map(({ check_id }) => check_id))];
  if (checkIds.length > 0) await pruneCheckResults(tx, checkIds);
  return new Map(rows.map(({ id, check_type }) => [id, check_type]));
}

async function pruneCheckResults(tx: Transaction, checkIds: readonly string[]): Promise<void> {
  await tx.execute(sql`
    delete from check_results r
    using unnest(${sql.param(checkIds)}::text[]) as k(check_id)
    cross join lateral (
      select ran_at, id from check_results o
      where o.check_id = k.check_id
      order by ran_at desc, id desc
      offset ${KEPT_RESULTS - 1} limit 1
    ) oldest
    where r.check_id = k.check_id and (r.ran_at, r.id) < (oldest.ran_at, oldest.id)`);
}

/** A check of a host, with its newest result. What it is configured with stays where it is: passwords are among it. */
export interface HostCheck {
  id: string;
  name: string;
  type: string;
  enabled: boolean;
  intervalSeconds: number;
  /** Null before the first one. */
  lastResult: {
    status: string;
    /** By the agent's clock. */
    ranAt: Date;
    durationMs: number | null;
    /** As far as it is of use in a list. */
    output: string | null;
  } | null;
}

/** All checks of a host but deleted ones, by name, each with the result that ran last. */
export async function listHostChecks(db: Queryable, { hostId, organisationId }: WorkHost): Promise<HostCheck[]> {
  const { rows } = await db.execute<{
    id: string;
    name: string;
    check_type: string;
    enabled: boolean;
    interval_seconds: number;
    status: string | null;
    ran_at: string | null;
    duration_ms: number | null;
    output: string | null;
  }>(sql`
    select c.id, c.name, c.check_type, c.enabled, c.interval_seconds, r.status, r.ran_at, r.duration_ms, r.output
    from checks c
    left join lateral (
      select o.status, o.ran_at, o.duration_ms, left(o.output, ${SHOWN_OUTPUT}) as output
      from check_results o
      where o.check_id = c.id
      order by o.ran_at desc, o.id desc
      limit 1
    ) r on true
    where c.organisation_id = ${organisationId} and c.host_id = ${hostId} and c.deleted_at is null
    order by c.name, c.id`);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    type: row.check_type,
    enabled: row.enabled,
    intervalSeconds: row.interval_seconds,
    lastResult:
      row.status === null || row.ran_at === null
        ? null
        : { status: row.status, ranAt: new Date(row.ran_at), durationMs: row.duration_ms, output: row.output },
  }));
}
