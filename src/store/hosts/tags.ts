import { sql } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { Transaction } from "../transaction.js";

/** A tag of a resource. */
export interface Tag {
  key: string;
  value: string;
}

const HOST = "host";

/** The tags that a host is to have. */
export interface HostTags {
  organisationId: string;
  hostId: string;
  wanted: readonly Tag[];
}

/** Links tags to hosts, making those their organisation does not have yet; tags a host is linked to already stay. */
export async function linkHostTags(tx: Transaction, hosts: readonly HostTags[]): Promise<void> {
  const wanted = hosts.flatMap(({ organisationId, hostId, wanted }) =>
    wanted.map(({ key, value }) => ({ organisationId, key, value, hostId })),
  );
  if (wanted.length === 0) return;
  let ids = await findTagIds(tx, wanted);
  if (ids.includes(undefined)) {
    await insertTags(
      tx,
      wanted
        .filter((_, index) => ids[index] === undefined)
        .map(({ organisationId, key, value }) => ({ organisationId, key, value })),
    );
    ids = await findTagIds(tx, wanted);
  }
  const column = (of: (tag: (typeof wanted)[number]) => string) => sql`${sql.param(wanted.map(of))}::text[]`;
  // Locked in one order before they are counted, and not in the statement that counts them: see "Row locks" in
  // docs/architecture.md.
  const { rows } = await tx.execute<{ id: string }>(sql`
    select id from tags where id = any(${sql.param(ids)}::text[]) order by id for no key update`);
  await tx.execute(sql`
    with linked as (
      insert into resource_tags (id, organisation_id, resource_id, resource_type, tag_id)
      select l.id, l.organisation_id, l.host_id, ${HOST}, l.tag_id
      from unnest(${column(createId)}, ${column((w) => w.organisationId)}, ${column((w) => w.hostId)},
                  ${sql.param(ids)}::text[]) as l(id, organisation_id, host_id, tag_id)
      where l.tag_id = any(${sql.param(rows.map(({ id }) => id))}::text[])
      on conflict do nothing
      returning tag_id
    )
    update tags set usage_count = usage_count + links
    from (select tag_id, count(*)::int as links from linked group by tag_id) as counted
    where tags.id = counted.tag_id`);
}

type OrganisationTag = Tag & { organisationId: string };

/** The ids of tags, in their order; undefined for those that are not there. */
async function findTagIds(tx: Transaction, wanted: readonly OrganisationTag[]): Promise<(string | undefined)[]> {
  const column = (of: (tag: OrganisationTag) => string) => sql`${sql.param(wanted.map(of))}::text[]`;
  const { rows } = await tx.execute<{ id: string | null }>(sql`
    select (select id from tags
            where organisation_id = w.organisation_id and lower(key) = lower(w.key) and lower(value) = lower(w.value)) as id
    from unnest(${column((t) => t.organisationId)}, ${column((t) => t.key)}, ${column((t) => t.value)})
      with ordinality as w(organisation_id, key, value, position)
    order by w.position`);
  return rows.map(({ id }) => id ?? undefined);
}

/** One order for all, so that two registrations that make the same tags wait for each other instead of in a circle. */
async function insertTags(tx: Transaction, missing: readonly OrganisationTag[]): Promise<void> {
  const distinct = new Map(missing.map((tag) => [JSON.stringify(tag), tag]));
  const inOrder = [...distinct.values()]
    .map((tag) => ({ tag, order: identityOf(tag) }))
    .sort((a, b) => (a.order < b.order ? -1 : 1));
  const column = (of: (tag: OrganisationTag) => string) => sql`${sql.param(inOrder.map(({ tag }) => of(tag)))}::text[]`;
  await tx.execute(sql`
    insert into tags (id, organisation_id, key, value)
    select * from unnest(${column(createId)}, ${column((t) => t.organisationId)}, ${column((t) => t.key)},
                         ${column((t) => t.value)})
    on conflict do nothing`);
}

function identityOf({ organisationId, key, value }: OrganisationTag): string {
  return `${organisationId}\0${key.toLowerCase()}\0${value.toLowerCase()}`;
}
