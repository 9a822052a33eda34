import { and, asc, eq, getTableColumns, gt, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { agentEnrolmentTokens, organisations } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

/** A row of `agent_enrolment_tokens`. */
export type EnrolmentTokenRow = typeof agentEnrolmentTokens.$inferSelect;

/** An enrolment token, with what its organisation gives every new host. */
export type UsableToken = EnrolmentTokenRow & { organisationMetadata: Record<string, unknown> | null };

/** What is stored of a new enrolment token. */
export type NewEnrolmentToken = typeof agentEnrolmentTokens.$inferInsert;

/** The usable rule (database contract): not deleted, not expired, so many uses left. By the database's clock. */
function hasUses(uses: SQL) {
  return and(
    isNull(agentEnrolmentTokens.deletedAt),
    or(isNull(agentEnrolmentTokens.expiresAt), gt(agentEnrolmentTokens.expiresAt, sql`now()`)),
    or(
      isNull(agentEnrolmentTokens.maxUses),
      lte(sql`${agentEnrolmentTokens.usageCount} + ${uses}`, agentEnrolmentTokens.maxUses),
    ),
  );
}

const isUsable = hasUses(sql`1`);

/** An enrolment token, and whether it can be used at the moment. */
export type FoundToken = UsableToken & { usable: boolean; expired: boolean };

/** What a token is found by: its hash, or, where its row has none, the token itself. */
export interface PresentedToken {
  token: string;
  tokenHash: string;
}

/**
 * These tokens, in their order; undefined for one that is not there, or whose organisation is not. The web app's install
 * bundles have rows without a hash; a row with a hash is never found by what stands in the column of tokens.
 */
export async function findEnrolmentTokens(
  db: Queryable,
  presented: readonly PresentedToken[],
): Promise<(FoundToken | undefined)[]> {
  const anyOf = (of: (token: PresentedToken) => string, among = presented) =>
    sql`any(${sql.param([...new Set(among.map(of))])}::text[])`;
  // PostgreSQL refuses a statement with NUL in a text, and others are looked for in the same one.
  const storable = presented.filter(({ token }) => !token.includes("\0"));
  const { tokenHash: hashColumn, token: tokenColumn } = agentEnrolmentTokens;
  const rows = await db
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
    .where(
      or(
        eq(
          hashColumn,
          anyOf(({ tokenHash }) => tokenHash),
        ),
        and(
          isNull(hashColumn),
          eq(
            tokenColumn,
            anyOf(({ token }) => token, storable),
          ),
        ),
      ),
    );
  const byHash = new Map(rows.map((row) => [row.tokenHash, row]));
  const withoutHash = new Map(rows.flatMap((row) => (row.tokenHash === null ? [[row.token, row]] : [])));
  return presented.map(({ token, tokenHash }) => byHash.get(tokenHash) ?? withoutHash.get(token));
}

/**
 * Takes uses of tokens, in the statement that checks the rule. The first use of one without a hash writes it.
 *
 * @param uses how many of each, by its id
 * @returns false when one of them cannot be used so often (any more)
 */
export async function takeTokenUses(tx: Transaction, uses: ReadonlyMap<string, number>): Promise<boolean> {
  const ids = sql`${sql.param([...uses.keys()])}::text[]`;
  // Not in one statement with the update: see "Row locks" in docs/architecture.md.
  await tx.execute(sql`
    select from agent_enrolment_tokens where id = any(${ids}) order by id for no key update`);
  const result = await tx.execute(sql`
    update agent_enrolment_tokens
    set usage_count = usage_count + w.uses, updated_at = now(),
        token_hash = coalesce(token_hash, encode(sha256(convert_to(token, 'UTF8')), 'hex'))
    from unnest(${ids}, ${sql.param([...uses.values()])}::int[]) as w(id, uses)
    where agent_enrolment_tokens.id = w.id and ${hasUses(sql`w.uses`)}`);
  return result.rowCount === uses.size;
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
  const { id, organisationId, label, autoApprove, maxUses, usageCount, expiresAt, createdAt, metadata } =
    agentEnrolmentTokens;
  return db
    .select({
      id,
      organisationId,
      organisation: organisations.slug,
      label,
      status: sql<"usable" | "expired" | "exhausted">`case
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

/** Takes a token out of use, as the web app does; undefined when there is none (any more). */
export async function revokeEnrolmentToken(
  db: Queryable,
  tokenId: string,
): Promise<{ label: string; organisationId: string } | undefined> {
  const [row] = await db
    .update(agentEnrolmentTokens)
    .set({ deletedAt: sql`now()`, updatedAt: sql`now()` })
    .where(and(eq(agentEnrolmentTokens.id, tokenId), isNull(agentEnrolmentTokens.deletedAt)))
    .returning({ label: agentEnrolmentTokens.label, organisationId: agentEnrolmentTokens.organisationId });
  return row;
}
