import { and, asc, eq, isNull } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { Queryable } from "../database.js";
import { organisations, user } from "../schema/platform/index.js";

/** A row of `organisations`. */
export type OrganisationRow = typeof organisations.$inferSelect;

/** The organisation with this id, if it is not deleted. */
export async function findOrganisation(db: Queryable, id: string): Promise<OrganisationRow | undefined> {
  const [row] = await db
    .select()
    .from(organisations)
    .where(and(eq(organisations.id, id), isNull(organisations.deletedAt)));
  return row;
}

/** The organisations that are not deleted, by slug; only the one with this slug if it is given. */
export async function listOrganisations(db: Queryable, { slug }: { slug?: string } = {}): Promise<OrganisationRow[]> {
  return db
    .select()
    .from(organisations)
    .where(and(isNull(organisations.deletedAt), slug === undefined ? undefined : eq(organisations.slug, slug)))
    .orderBy(asc(organisations.slug));
}

/** Makes an organisation; undefined when there is one with the same slug, or was: the slug is unique over all. */
export async function insertOrganisation(
  db: Queryable,
  { name, slug }: { name: string; slug: string },
): Promise<OrganisationRow | undefined> {
  const [row] = await db
    .insert(organisations)
    .values({ id: createId(), name, slug })
    .onConflictDoNothing({ target: organisations.slug })
    .returning();
  return row;
}

/** The user that rows made by the service point at: the oldest one, which is the system's on a standalone database. */
export async function findOldestUserId(db: Queryable): Promise<string | undefined> {
  const [row] = await db
    .select({ id: user.id })
    .from(user)
    .where(isNull(user.deletedAt))
    .orderBy(asc(user.createdAt), asc(user.id))
    .limit(1);
  return row?.id;
}
