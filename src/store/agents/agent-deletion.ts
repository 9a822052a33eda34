import { asc, eq, inArray, sql } from "drizzle-orm";
import { agents, hosts, resourceTags, tags } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";
import type { AgentRow } from "./agents.js";
import { deleteDependents } from "./dependents.js";

/** Rows of the time series that are deleted by one statement. */
const METRICS_CHUNK = 10_000;

/** A host that is about to be deleted. */
export interface DoomedHost {
  id: string;
  organisationId: string;
}

/** The hosts of an agent, deleted ones included, locked so that nothing new can refer to them. */
export async function lockHostsForDeletion(tx: Transaction, agentId: string): Promise<DoomedHost[]> {
  return tx
    .select({ id: hosts.id, organisationId: hosts.organisationId })
    .from(hosts)
    .where(eq(hosts.agentId, agentId))
    .orderBy(asc(hosts.id))
    .for("update");
}

/** The agent, deleted ones included, locked so that nothing new can refer to it; its hosts are locked before it. */
export async function lockAgentForDeletion(tx: Transaction, agentId: string): Promise<AgentRow | undefined> {
  const [row] = await tx.select().from(agents).where(eq(agents.id, agentId)).for("update");
  return row;
}

/**
 * Deletes the oldest metrics of a host. By time rather than by `ctid`, which in a hypertable is not unique; and by
 * organisation too, because the index begins with it.
 *
 * @returns how many; fewer than a whole chunk when none are left
 */
export async function deleteMetricsChunk(
  tx: Transaction,
  host: DoomedHost,
): Promise<{ deleted: number; done: boolean }> {
  const ofHost = sql`organisation_id = ${host.organisationId} and host_id = ${host.id}`;
  const { rowCount } = await tx.execute(sql`
    delete from host_metrics
    where ${ofHost}
      and recorded_at <= coalesce(
        (select recorded_at from host_metrics where ${ofHost}
         order by recorded_at offset ${METRICS_CHUNK - 1} limit 1),
        'infinity')`);
  const deleted = rowCount ?? 0;
  return { deleted, done: deleted < METRICS_CHUNK };
}

/** Deletes a host whose metrics are deleted, with everything else that hangs on it. */
export async function deleteHost(tx: Transaction, { id }: DoomedHost): Promise<void> {
  await deleteDependents(tx, "hosts", sql`id = ${id}`, ["host_metrics"]);
  // Late, because enrolments with the same tags wait for their rows.
  await unlinkHostTags(tx, id);
  await tx.delete(hosts).where(eq(hosts.id, id));
}

/** Deletes an agent whose hosts are deleted, with its history and everything else that hangs on it. */
export async function deleteAgentRow(tx: Transaction, agentId: string): Promise<void> {
  await deleteDependents(tx, "agents", sql`id = ${agentId}`, ["hosts"]);
  // The trigger that tells of deletions by the web app has nothing to tell.
  await tx.execute(sql`select set_config('ct_ops_ingest.tells_itself', 'on', true)`);
  await tx.delete(agents).where(eq(agents.id, agentId));
}

/** Links to resources have no foreign key, and tags count them. Tags are locked by id, as everywhere. */
async function unlinkHostTags(tx: Transaction, hostId: string): Promise<void> {
  const links = sql`${resourceTags.resourceType} = 'host' and ${resourceTags.resourceId} = ${hostId}`;
  const linked = await tx
    .select({ id: tags.id })
    .from(tags)
    .where(inArray(tags.id, tx.select({ tagId: resourceTags.tagId }).from(resourceTags).where(links)))
    .orderBy(asc(tags.id))
    .for("no key update");
  if (linked.length === 0) return;
  await tx.delete(resourceTags).where(links);
  await tx
    .update(tags)
    .set({ usageCount: sql`greatest(${tags.usageCount} - 1, 0)` })
    .where(
      inArray(
        tags.id,
        linked.map(({ id }) => id),
      ),
    );
}
