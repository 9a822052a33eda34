import { and, asc, eq, getTableColumns, gt, isNull, lt, or, sql } from "drizzle-orm";
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

/** What may be shown of a token: neither itself nor its hash. */
export type EnrolmentTokenSummary = Awaited<ReturnType<typeof listEnrolmentTokens>>[number];

/** The tokens that are not revoked, the oldest first. */
export async function listEnrolmentTokens(db: Queryable) {
  const { id, organisationId, label, autoApprove, maxUses, usageCount, expiresAt, createdAt, metadata, tokenHash } =
    agentEnrolmentTokens;
  return db
    .select({
      id,
      organisationId,
      organisation: organisations.slug,
      label,
      // Without a hash no agent can ever have used it.
      status: sql<"usable" | "unusable" | "expired" | "exhausted">`case
        when ${tokenHash} is null then 'unusable'
        when ${isUsable} then 'usable'
        when ${expiresAt} <= now() then 'expired'
        else 'exhausted' end`,
      autoApprove,
      maxUses,
      usageCount,
      expiresAt,
      createdAt,
      metadata,
    })
    .from(agentEnrolmentTokens)
    .innerJoin(organisations, eq(organisations.id, organisationId))
    .where(isNull(agentEnrolmentTokens.deletedAt))
    .orderBy(asc(createdAt), asc(id));
}

/** Takes a token out of use, as the web app does; its label, or undefined when there is none (any more). */
export async function revokeEnrolmentToken(db: Queryable, tokenId: string): Promise<string | undefined> {
  const [row] = await db
    .update(agentEnrolmentTokens)
    .set({ deletedAt: sql`now()`, updatedAt: sql`now()` })
    .where(and(eq(agentEnrolmentTokens.id, tokenId), isNull(agentEnrolmentTokens.deletedAt)))
    .returning({ label: agentEnrolmentTokens.label });
  return row?.label;
}
