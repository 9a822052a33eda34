import { sql } from "drizzle-orm";
import { createId } from "../lib/ids.js";
import type { Queryable } from "./database.js";
import { tags } from "./schema/platform.js";

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
  const scope = { organisationId, wanted };
  let ids = await findTagIds(tx, scope);
  if (ids.length < wanted.length) {
    await insertTags(tx, scope);
    ids = await findTagIds(tx, scope);
  }
  // Locked in one order before they are counted: the links alone would lock them in any.
  await tx.execute(sql`
    with locked as materialized (
      select id from tags where id = any(${sql.param(ids)}::text[]) order by id for no key update
    ), linked as (
      insert into resource_tags (id, organisation_id, resource_id, resource_type, tag_id)
      select l.id, ${organisationId}, ${hostId}, ${HOST}, locked.id
      from locked join unnest(${sql.param(ids.map(() => createId()))}::text[], ${sql.param(ids)}::text[]) as l(id, tag_id)
        on l.tag_id = locked.id
      on conflict do nothing
      returning tag_id
    )
    update tags set usage_count = usage_count + 1 from linked where tags.id = linked.tag_id`);
}

interface TagSet {
  organisationId: string;
  wanted: readonly Tag[];
}

async function findTagIds(tx: Queryable, { organisationId, wanted }: TagSet): Promise<string[]> {
  const keys = sql.param(wanted.map(({ key }) => key));
  const values = sql.param(wanted.map(({ value }) => value));
  const { rows } = await tx.execute<{ id: string }>(sql`
    select id from tags
    where organisation_id = ${organisationId}
      and (lower(key), lower(value)) in
          (select lower(k), lower(v) from unnest(${keys}::text[], ${values}::text[]) as w(k, v))`);
  return rows.map(({ id }) => id);
}

/** One order for all, so that two registrations that make the same tags wait for each other instead of in a circle. */
async function insertTags(tx: Queryable, { organisationId, wanted }: TagSet): Promise<void> {
  const inOrder = wanted.map((tag) => ({ tag, order: identityOf(tag) })).sort((a, b) => (a.order < b.order ? -1 : 1));
  await tx
    .insert(tags)
    .values(inOrder.map(({ tag }) => ({ id: createId(), organisationId, ...tag })))
    .onConflictDoNothing();
}

function identityOf({ key, value }: Tag): string {
  return `${key.toLowerCase()}\0${value.toLowerCase()}`;
}
