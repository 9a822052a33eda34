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

/** The host of an agent, locked until the transaction ends. */
export async function lockHostOfAgent(
  tx: Queryable,
  agentId: string,
): Promise<{ id: string; organisationId: string; pendingTags: unknown } | undefined> {
  const [row] = await tx
    .select({
      id: hosts.id,
      organisationId: hosts.organisationId,
      pendingTags: sql<unknown>`${hosts.metadata} -> 'pendingTags'`,
    })
    .from(hosts)
    .where(and(eq(hosts.agentId, agentId), isNull(hosts.deletedAt)))
    .orderBy(asc(hosts.id))
    .limit(1)
    .for("no key update");
  return row;
}

/** Removes the tags that waited. */
export async function clearPendingTags(tx: Queryable, hostId: string): Promise<void> {
  await tx
    .update(hosts)
    .set({ metadata: sql`${hosts.metadata} - 'pendingTags'`, updatedAt: sql`now()` })
    .where(eq(hosts.id, hostId));
}
