import { and, eq, inArray, sql } from "drizzle-orm";
import { createId } from "../lib/ids.js";
import type { Queryable } from "./database.js";
import { resourceTags, tags } from "./schema/platform.js";

/** A tag of a resource. */
export interface Tag {
  key: string;
  value: string;
}

const HOST = "host";

/** Links tags to a host, making those the organisation does not have yet; tags it is linked to already stay. */
export async function linkHostTags(
  tx: Queryable,
  { organisationId, hostId, wanted }: { organisationId: string; hostId: string; wanted: readonly Tag[] },
): Promise<void> {
  if (wanted.length === 0) return;
  // One order for all, so that two registrations that make the same tags wait for each other instead of in a circle.
  const inOrder = wanted.map((tag) => ({ tag, order: identityOf(tag) })).sort((a, b) => (a.order < b.order ? -1 : 1));
  await tx
    .insert(tags)
    .values(inOrder.map(({ tag }) => ({ id: createId(), organisationId, ...tag })))
    .onConflictDoNothing();
  const keys = sql.param(wanted.map(({ key }) => key));
  const values = sql.param(wanted.map(({ value }) => value));
  const rows = await tx
    .select({ id: tags.id })
    .from(tags)
    .where(
      and(
        eq(tags.organisationId, organisationId),
        sql`(lower(${tags.key}), lower(${tags.value})) in
            (select lower(k), lower(v) from unnest(${keys}::text[], ${values}::text[]) as w(k, v))`,
      ),
    )
    .orderBy(tags.id)
    .for("no key update");
  const linked = await tx
    .insert(resourceTags)
    .values(
      rows.map(({ id }) => ({ id: createId(), organisationId, resourceId: hostId, resourceType: HOST, tagId: id })),
    )
    .onConflictDoNothing()
    .returning({ tagId: resourceTags.tagId });
  if (linked.length === 0) return;
  await tx
    .update(tags)
    .set({ usageCount: sql`${tags.usageCount} + 1` })
    .where(
      inArray(
        tags.id,
        linked.map(({ tagId }) => tagId),
      ),
    );
}

function identityOf({ key, value }: Tag): string {
  return `${key.toLowerCase()}\0${value.toLowerCase()}`;
}
