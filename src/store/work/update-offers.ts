import { sql } from "drizzle-orm";
import { lockInTransaction } from "../advisory-locks.js";
import type { Queryable } from "../database.js";
import type { Transaction } from "../transaction.js";

/** An agent that runs another version than the newest one. */
export interface UpdateWish {
  agentId: string;
  version: string;
}

/**
 * Decides which agents may be told of a version now: not again within `againAfterMs`, and no more at a time over all
 * instances than `concurrency`. An agent counts until it runs that version, for `busyForMs` at most.
 *
 * @returns the ids of those that are to be told, which is on record then
 */
export async function takeUpdateOffers(
  tx: Transaction,
  wishes: readonly UpdateWish[],
  limits: { concurrency: number; busyForMs: number; againAfterMs: number },
): Promise<string[]> {
  await lockInTransaction(tx, "update-offers");
  const { rows } = await tx.execute<{ agent_id: string }>(sql`
    with wishes as (
      select * from unnest(
        ${sql.param(wishes.map(({ agentId }) => agentId))}::text[],
        ${sql.param(wishes.map(({ version }) => version))}::text[]) as w(agent_id, version)
    ), busy as (
      select count(*) as count
      from ingest.update_offers o join agents a on a.id = o.agent_id
      where o.offered_at > now() - make_interval(secs => ${limits.busyForMs / 1000}) and a.version is distinct from o.version
    ), chosen as (
      select w.agent_id, w.version
      from wishes w
      join agents a on a.id = w.agent_id
      left join ingest.update_offers o on o.agent_id = w.agent_id
      where o.agent_id is null or o.version <> w.version
        or o.offered_at < now() - make_interval(secs => ${limits.againAfterMs / 1000})
      order by w.agent_id
      limit greatest(0, ${limits.concurrency} - (select count from busy))
    )
    insert into ingest.update_offers (agent_id, version)
    select agent_id, version from chosen
    on conflict (agent_id) do update set version = excluded.version, offered_at = now()
    returning agent_id`);
  return rows.map(({ agent_id }) => agent_id);
}

/** Forgets that an agent was told: it did not take it. */
export async function withdrawUpdateOffer(db: Queryable, { agentId, version }: UpdateWish): Promise<void> {
  await db.execute(sql`delete from ingest.update_offers where agent_id = ${agentId} and version = ${version}`);
}
