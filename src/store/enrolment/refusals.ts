import { and, desc, eq, inArray, isNull, ne, or, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { hasHostname } from "../hosts/hostname-condition.js";
import { refusals } from "../schema/ingest/index.js";

/** What is kept, at least until the next {@link pruneRefusals}: of each share, of agents and of all others. */
const KEPT_OF_SHARE = 50;
const KEPT_OF_AGENTS = 10_000;
const KEPT_OF_OTHERS = 5_000;
const KEPT_FOR = "7 days";

/** A refusal as it is kept. */
export type RefusalRow = typeof refusals.$inferSelect;

/** A refusal that is to be kept. */
export interface NewRefusal extends Omit<RefusalRow, "share"> {
  /** The address that it takes the share of, if it concerns no agent. */
  source: string;
}

/**
 * Stores refusals, in one statement. Each takes the share of the agent that it concerns: the one that credentials named,
 * or whose key the caller proved to have.
 */
export async function insertRefusals(db: Queryable, rows: readonly NewRefusal[]): Promise<void> {
  const column = (of: (row: NewRefusal) => string | Date | null) => sql.param(rows.map(of));
  await db.execute(sql`
    insert into ingest.refusals
      (id, refused_at, method, reason, message, agent_id, public_key, certificate_serial, hostname, remote_address, share)
    select n.id, n.refused_at, n.method, n.reason, n.message, n.agent_id, n.public_key, n.certificate_serial, n.hostname,
      n.remote_address, coalesce('agent:' || coalesce(n.agent_id, a.id), 'source:' || n.source)
    from unnest(
      ${column((r) => r.id)}::text[], ${column((r) => r.refusedAt)}::timestamptz[], ${column((r) => r.method)}::text[],
      ${column((r) => r.reason)}::text[], ${column((r) => r.message)}::text[], ${column((r) => r.agentId)}::text[],
      ${column((r) => r.publicKey)}::text[], ${column((r) => r.certificateSerial)}::text[],
      ${column((r) => r.hostname)}::text[], ${column((r) => r.remoteAddress)}::text[], ${column((r) => r.source)}::text[])
      as n(id, refused_at, method, reason, message, agent_id, public_key, certificate_serial, hostname, remote_address,
        source)
    left join agents a on a.public_key = n.public_key
    on conflict do nothing`);
}

/**
 * Deletes what is older than seven days; of each share all but the newest 50; of those of agents, and of all others, all
 * but the newest. Of instances that do so at once one does it and the others pass.
 */
export async function pruneRefusals(db: Queryable): Promise<void> {
  await db.execute(sql`
    with turn as materialized (
      select pg_try_advisory_xact_lock(hashtextextended('ct-ops-ingest/prune-refusals', 0)) as mine
    ), ranked as (
      select id, refused_at, is_agents,
        row_number() over (partition by share order by refused_at desc, id) as in_share,
        row_number() over (partition by is_agents order by refused_at desc, id) as in_all
      from (select id, refused_at, share, share like 'agent:%' as is_agents from ingest.refusals) r
    )
    delete from ingest.refusals r using turn, ranked k
    where turn.mine and r.id = k.id
      and (k.refused_at < now() - ${KEPT_FOR}::interval or k.in_share > ${KEPT_OF_SHARE}
        or k.in_all > case when k.is_agents then ${KEPT_OF_AGENTS}::int else ${KEPT_OF_OTHERS}::int end)`);
}

/** The newest refusals, whomever they concern. */
export async function listRecentRefusals(db: Queryable, limit: number): Promise<RefusalRow[]> {
  return db.select().from(refusals).orderBy(desc(refusals.refusedAt), desc(refusals.id)).limit(limit);
}

/** What refusals of an agent are found by. */
export interface RefusedAgent {
  agentId: string;
  publicKey: string;
  /** Of its client certificates. */
  serials: readonly string[];
  hostname: string;
}

/**
 * The newest refusals that concern an agent: those of the agent itself, which it was proven to be by its certificate or
 * its key; and beside them those of whoever said to be it, with a certificate of its serial number or by its hostname.
 * The two have limits of their own, since the latter may be anybody.
 */
export async function listRefusalsOfAgent(
  db: Queryable,
  { agentId, publicKey, serials, hostname }: RefusedAgent,
  limits: { proven: number; said: number },
): Promise<RefusalRow[]> {
  const newest = [desc(refusals.refusedAt), desc(refusals.id)] as const;
  const isProven = or(eq(refusals.agentId, agentId), eq(refusals.publicKey, publicKey));
  const proven = await db
    .select()
    .from(refusals)
    .where(isProven)
    .orderBy(...newest)
    .limit(limits.proven);
  const said = await db
    .select()
    .from(refusals)
    .where(
      and(
        or(isNull(refusals.agentId), ne(refusals.agentId, agentId)),
        or(isNull(refusals.publicKey), ne(refusals.publicKey, publicKey)),
        or(
          inArray(refusals.certificateSerial, [...serials]),
          // Without an index: the table is small, and only a person asks.
          hasHostname(refusals.hostname, hostname),
        ),
      ),
    )
    .orderBy(...newest)
    .limit(limits.said);
  const time = ({ refusedAt }: RefusalRow) => refusedAt.getTime();
  return [...proven, ...said].sort((a, b) => time(b) - time(a));
}
