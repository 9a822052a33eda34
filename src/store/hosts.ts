import { and, asc, eq, isNull, sql } from "drizzle-orm";
import type { Queryable } from "./database.js";
import { hosts } from "./schema/platform.js";
import type { Tag } from "./tags.js";

/** What is stored of a new host. `ip_addresses` stays null: the first heartbeat fills it. */
export type NewHost = Pick<
  typeof hosts.$inferInsert,
  "id" | "organisationId" | "agentId" | "hostname" | "os" | "osVersion" | "arch"
>;

/** Stores a new host; tags that wait for the approval of its agent go into `metadata.pendingTags`. */
export async function insertHost(tx: Queryable, host: NewHost, pendingTags: readonly Tag[]): Promise<void> {
  await tx.insert(hosts).values({ ...host, ...(pendingTags.length > 0 && { metadata: { pendingTags } }) });
}

/** Soft-deletes what is left of an agent's hosts. */
export async function deleteHostsOfAgent(tx: Queryable, agentId: string): Promise<void> {
  await tx
    .update(hosts)
    .set({ deletedAt: sql`now()`, updatedAt: sql`now()` })
    .where(and(eq(hosts.agentId, agentId), isNull(hosts.deletedAt)));
}

/**
 * Locks the hosts of an agent, deleted ones included, until the transaction ends: whoever writes of an agent does so
 * first, so that the web app, which locks the host that it deletes, has either all of it or none.
 *
 * @returns the one that is not deleted
 */
export async function lockHostOfAgent(
  tx: Queryable,
  agentId: string,
): Promise<{ id: string; organisationId: string; pendingTags: unknown } | undefined> {
  const rows = await tx
    .select({
      id: hosts.id,
      organisationId: hosts.organisationId,
      pendingTags: sql<unknown>`${hosts.metadata} -> 'pendingTags'`,
      deletedAt: hosts.deletedAt,
    })
    .from(hosts)
    .where(eq(hosts.agentId, agentId))
    .orderBy(asc(hosts.id))
    .for("no key update");
  return rows.find(({ deletedAt }) => deletedAt === null);
}

/** Removes the tags that waited. */
export async function clearPendingTags(tx: Queryable, hostId: string): Promise<void> {
  await tx
    .update(hosts)
    .set({ metadata: sql`${hosts.metadata} - 'pendingTags'`, updatedAt: sql`now()` })
    .where(eq(hosts.id, hostId));
}
