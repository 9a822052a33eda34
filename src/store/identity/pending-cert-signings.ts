import { eq } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { pendingCertSignings } from "../schema/platform/index.js";

/**
 * Removes the CSRs of an agent that the earlier service left waiting. Nobody needs them: an agent sends its CSR with
 * every poll. The web app does not know them, so that one left behind would make its deletion of the agent fail.
 */
export async function deletePendingCertSignings(db: Queryable, agentId: string): Promise<void> {
  await db.delete(pendingCertSignings).where(eq(pendingCertSignings.agentId, agentId));
}
