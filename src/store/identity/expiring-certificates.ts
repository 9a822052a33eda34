import { sql } from "drizzle-orm";
import { isCallingStatus } from "../agents/calling-statuses.js";
import type { Queryable } from "../database.js";

/**
 * Counts the agents that may call and whose client certificate expires soon.
 *
 * @param days how soon; each is counted for itself
 * @returns the numbers of agents, in the order of the days
 */
export async function countExpiringCertificates(db: Queryable, days: readonly number[]): Promise<number[]> {
  const { rows } = await db.execute<{ agents: number }>(sql`
    select count(a.id)::int as agents
    from unnest(${sql.param(days)}::int[]) with ordinality as d (days, position)
    left join agents a on a.client_cert_not_after < now() + make_interval(days => d.days)
      and a.deleted_at is null and ${isCallingStatus(sql`a.status`)}
    group by d.position order by d.position`);
  return rows.map(({ agents }) => agents);
}
