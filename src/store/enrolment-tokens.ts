import { and, eq, getTableColumns, gt, isNull, lt, or, sql } from "drizzle-orm";
import type { Queryable } from "./database.js";
import { agentEnrolmentTokens, organisations } from "./schema/platform.js";

/** A row of `agent_enrolment_tokens`. */
export type EnrolmentTokenRow = typeof agentEnrolmentTokens.$inferSelect;

/** An enrolment token, with what its organisation gives every new host. */
export type UsableToken = EnrolmentTokenRow & { organisationMetadata: Record<string, unknown> | null };

/** What is stored of a new enrolment token. */
export type NewEnrolmentToken = typeof agentEnrolmentTokens.$inferInsert;

/** The usable rule (database contract): not deleted, not expired, not used up. By the database's clock. */
const isUsable = and(
  isNull(agentEnrolmentTokens.deletedAt),
  or(isNull(agentEnrolmentTokens.expiresAt), gt(agentEnrolmentTokens.expiresAt, sql`now()`)),
  or(isNull(agentEnrolmentTokens.maxUses), lt(agentEnrolmentTokens.usageCount, agentEnrolmentTokens.maxUses)),
);

/** The token with this hash, and whether it can be used at the moment; undefined also without its organisation. */
export async function findEnrolmentToken(
  db: Queryable,
  tokenHash: string,
): Promise<(UsableToken & { usable: boolean; expired: boolean }) | undefined> {
  const [row] = await db
    .select({
      ...getTableColumns(agentEnrolmentTokens),
      organisationMetadata: organisations.metadata,
      usable: sql<boolean>`(${isUsable})`,
      expired: sql<boolean>`coalesce(${agentEnrolmentTokens.expiresAt} <= now(), false)`,
    })
    .from(agentEnrolmentTokens)
    .innerJoin(
      organisations,
      and(eq(organisations.id, agentEnrolmentTokens.organisationId), isNull(organisations.deletedAt)),
    )
    .where(eq(agentEnrolmentTokens.tokenHash, tokenHash));
  return row;
}

/** Takes one use, in the statement that checks the rule; false when it cannot be used (any more). */
export async function takeTokenUse(tx: Queryable, tokenId: string): Promise<boolean> {
  const result = await tx
    .update(agentEnrolmentTokens)
    .set({ usageCount: sql`${agentEnrolmentTokens.usageCount} + 1`, updatedAt: sql`now()` })
    .where(and(eq(agentEnrolmentTokens.id, tokenId), isUsable));
  return result.rowCount === 1;
}

/** Stores a new token. */
export async function insertEnrolmentToken(db: Queryable, token: NewEnrolmentToken): Promise<EnrolmentTokenRow> {
  const [row] = await db.insert(agentEnrolmentTokens).values(token).returning();
  if (row === undefined) throw new Error("an insert without conflict clause returned no row");
  return row;
}
