import { eq, inArray, isNotNull, ne, or } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { agents, pendingCertSignings } from "../schema/platform/index.js";

/**
 * Removes the CSRs of an agent that the earlier service left waiting. Nobody needs them: an agent sends its CSR with
 * every poll. The web app does not know them, so that one left behind would make its deletion of the agent fail.
 */
export async function deletePendingCertSignings(db: Queryable, agentId: string): Promise<void> {
  await db.delete(pendingCertSignings).where(eq(pendingCertSignings.agentId, agentId));
}

/** Removes the CSRs of all agents that do not wait for an approval: a CSR that somebody finds can be sent again. */
export async function deleteNeedlessCertSignings(db: Queryable): Promise<void> {
  const settled = db
    .select({ id: agents.id })
    .from(agents)
    .where(or(ne(agents.status, "pending"), isNotNull(agents.deletedAt)));
  await db.delete(pendingCertSignings).where(inArray(pendingCertSignings.agentId, settled));
}
