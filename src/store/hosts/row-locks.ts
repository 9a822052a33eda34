import { sql } from "drizzle-orm";
import type { Transaction } from "../transaction.js";

/** What {@link lockHostsAndAgents} found of one host and its agent. */
export type LockedAgent =
  | {
      state: "locked";
      agentStatus: string;
      /** Of the agent's newest session; 0 when it never had one. */
      epoch: number;
    }
  /** Somebody else holds one of the two rows; try again later. */
  | { state: "busy"; epoch: number }
  /** One of the two is deleted. */
  | { state: "gone" };

/**
 * Locks hosts, then their agents, each in the order of their ids, until the transaction ends. Rows that somebody
 * holds are passed over, never waited for: the web app holds a host for as long as it takes to delete months of
 * metrics, and a batch must not stand still for it.
 *
 * This is the one order everywhere: hosts, then agents, then what refers to them, `ingest.agent_sessions` first; rows of
 * one table by the id of the host or agent. Whoever takes them in another order ends in a deadlock with a heartbeat, an
 * opening (agents, sessions) or a deletion by the web app (host, history, agent, and by cascade the session).
 *
 * @returns what was found, by agent id
 */
export async function lockHostsAndAgents(
  tx: Transaction,
  pairs: readonly { hostId: string; agentId: string }[],
): Promise<Map<string, LockedAgent>> {
  const hostIds = sql.param(pairs.map(({ hostId }) => hostId));
  const agentIds = sql.param(pairs.map(({ agentId }) => agentId));
  const { rows } = await tx.execute<{
    agent_id: string;
    state: LockedAgent["state"];
    status: string;
    epoch: string | null;
  }>(sql`
    with wanted as (
      select distinct * from unnest(${hostIds}::text[], ${agentIds}::text[]) as w(host_id, agent_id)
    ), locked_hosts as materialized (
      select h.id, h.agent_id
      from hosts h
      where h.id = any(${hostIds}::text[]) and h.deleted_at is null
      order by h.id
      for no key update skip locked
    ), locked_agents as materialized (
      select a.id, a.status
      from agents a
      where a.id = any(array(select agent_id from locked_hosts)) and a.deleted_at is null
      order by a.id
      for no key update skip locked
    )
    -- Each looked up by its key: joined, the tables might be read whole by a plan that is kept.
    select w.agent_id,
           case
             when lh.id is not null and la.id is not null then 'locked'
             when (
               select true from hosts h
               where h.id = w.host_id and h.agent_id = w.agent_id and h.deleted_at is null
                 and (select true from agents a where a.id = w.agent_id and a.deleted_at is null)
             ) then 'busy'
             else 'gone'
           end as state,
           la.status,
           (select s.epoch from ingest.agent_sessions s where s.agent_id = w.agent_id) as epoch
    from wanted w
    left join locked_hosts lh on lh.id = w.host_id and lh.agent_id = w.agent_id
    left join locked_agents la on la.id = w.agent_id`);
  return new Map(
    rows.map((row): [string, LockedAgent] => {
      const { agent_id, state, status, epoch } = row;
      if (state === "gone") return [agent_id, { state }];
      return [agent_id, { state, agentStatus: status, epoch: Number(epoch ?? 0) }];
    }),
  );
}

/**
 * Keeps hosts from being deleted until the transaction ends, so that rows which refer to them can be written. A host
 * that is being deleted, which may take minutes, is passed over.
 *
 * @returns by host id: `locked`, or `busy` while somebody deletes it; a host that is gone is not in it
 */
export async function keepHosts(tx: Transaction, hostIds: readonly string[]): Promise<Map<string, "locked" | "busy">> {
  const { rows } = await tx.execute<{ id: string; locked: boolean }>(sql`
    with locked as materialized (
      select id from hosts where id = any(${sql.param(hostIds)}::text[]) and deleted_at is null
      order by id for key share skip locked
    )
    select h.id, l.id is not null as locked
    from hosts h left join locked l on l.id = h.id
    where h.id = any(${sql.param(hostIds)}::text[]) and h.deleted_at is null`);
  return new Map(rows.map(({ id, locked }) => [id, locked ? "locked" : "busy"]));
}
