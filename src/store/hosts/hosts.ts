import { and, asc, eq, isNull, type SQL, sql } from "drizzle-orm";
import { hosts, OLDEST_HOST_FIRST } from "../schema/platform/index.js";
import { insertRows } from "../sets/insert-rows.js";
import { limitLockWaits, type Transaction } from "../transaction.js";
import type { Tag } from "./tags.js";

/** What is stored of a new host. `ip_addresses` stays null: the first heartbeat fills it. */
export type NewHost = Pick<
  typeof hosts.$inferInsert,
  "id" | "organisationId" | "agentId" | "hostname" | "os" | "osVersion" | "arch"
>;

/** Stores new hosts; tags that wait for the approval of an agent go into `metadata.pendingTags`. */
export async function insertHosts(
  tx: Transaction,
  newHosts: readonly (NewHost & { pendingTags: readonly Tag[] })[],
): Promise<void> {
  const rows = newHosts.map(({ pendingTags, ...host }) => ({
    ...host,
    metadata: pendingTags.length > 0 ? { pendingTags } : null,
  }));
  await tx.execute(
    insertRows(hosts, ["id", "organisationId", "agentId", "hostname", "os", "osVersion", "arch", "metadata"], rows),
  );
}

/** Soft-deletes what is left of an agent's hosts. */
export async function deleteHostsOfAgent(tx: Transaction, agentId: string): Promise<void> {
  await tx
    .update(hosts)
    .set({ deletedAt: sql`now()`, updatedAt: sql`now()` })
    .where(and(eq(hosts.agentId, agentId), isNull(hosts.deletedAt)));
}

/**
 * Locks a host, and then its agent, until the transaction ends. Neither is waited for: the web app holds a host for as
 * long as it takes to delete months of metrics.
 *
 * @throws DatabaseError of a passing kind when somebody holds one of them
 */
export async function lockHostNow(tx: Transaction, hostId: string, agentId: string | undefined): Promise<void> {
  await tx.execute(sql`select from hosts where id = ${hostId} for no key update nowait`);
  if (agentId === undefined) return;
  await tx.execute(sql`select from agents where id = ${agentId} for no key update nowait`);
}

/**
 * Does the same, but waits for three seconds: for an agent's own key, which is not to be refused because somebody takes
 * the host over at the same moment.
 *
 * @throws DatabaseError of a passing kind when somebody holds one of them for longer
 */
export async function lockHostSoon(tx: Transaction, hostId: string, agentId: string): Promise<void> {
  await limitLockWaits(tx, 3_000);
  await tx.execute(sql`select from hosts where id = ${hostId} for no key update`);
  await tx.execute(sql`select from agents where id = ${agentId} for no key update`);
}

/**
 * Locks the hosts of an agent and another host, and then their agents, until the transaction ends, each in the order of
 * their ids.
 */
export async function lockHostsAndAgents(tx: Transaction, agentId: string, hostId: string): Promise<void> {
  await tx.execute(sql`
    select from hosts where agent_id = ${agentId} or id = ${hostId} order by id for no key update`);
  await tx.execute(sql`
    select from agents where id in (${agentId}, (select agent_id from hosts where id = ${hostId}))
    order by id for no key update`);
}

/**
 * Gives a host that is locked to the machine that takes it over. Its addresses are forgotten, as those of a new host are
 * not known: the web app refuses an approval when they overlap with those of a host that is online.
 */
export async function reassignHost(
  tx: Transaction,
  { id, agentId, hostname, os, osVersion, arch }: Omit<NewHost, "organisationId">,
  pendingTags: readonly Tag[],
): Promise<void> {
  await tx
    .update(hosts)
    .set({
      agentId,
      hostname,
      ...(os && { os }),
      ...(osVersion && { osVersion }),
      ...(arch && { arch }),
      ipAddresses: null,
      metadata: withPendingTags(pendingTags.length > 0 ? pendingTags : null),
      updatedAt: sql`now()`,
    })
    .where(eq(hosts.id, id));
}

/** `metadata` with these tags waiting, or with none; its other keys are the web app's. */
export function withPendingTags(pendingTags: unknown): SQL {
  return pendingTags === null
    ? sql`${hosts.metadata} - 'pendingTags'`
    : sql`coalesce(${hosts.metadata}, '{}') || jsonb_build_object('pendingTags', ${JSON.stringify(pendingTags)}::jsonb)`;
}

/**
 * Locks the hosts of an agent, deleted ones included, until the transaction ends: whoever writes of an agent does so
 * first, so that the web app, which locks the host that it deletes, has either all of it or none.
 *
 * @returns the one that counts; undefined when it has none that is not deleted
 */
export async function lockHostOfAgent(
  tx: Transaction,
  agentId: string,
): Promise<{ id: string; organisationId: string; osVersion: string | null; pendingTags: unknown } | undefined> {
  await tx
    .select({ id: hosts.id })
    .from(hosts)
    .where(eq(hosts.agentId, agentId))
    .orderBy(asc(hosts.id))
    .for("no key update");
  const [own] = await tx
    .select({
      id: hosts.id,
      organisationId: hosts.organisationId,
      osVersion: hosts.osVersion,
      pendingTags: sql<unknown>`${hosts.metadata} -> 'pendingTags'`,
    })
    .from(hosts)
    .where(and(eq(hosts.agentId, agentId), isNull(hosts.deletedAt)))
    .orderBy(...OLDEST_HOST_FIRST)
    .limit(1);
  return own;
}

/** Removes the tags that waited. */
export async function clearPendingTags(tx: Transaction, hostId: string): Promise<void> {
  await tx
    .update(hosts)
    .set({ metadata: withPendingTags(null), updatedAt: sql`now()` })
    .where(eq(hosts.id, hostId));
}
