import { and, inArray, isNull, sql } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { Queryable } from "../database.js";
import { networks } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

/** The networks of these organisations. */
export async function listNetworks(
  db: Queryable,
  organisationIds: readonly string[],
): Promise<{ id: string; organisationId: string; cidr: string }[]> {
  return db
    .select({ id: networks.id, organisationId: networks.organisationId, cidr: networks.cidr })
    .from(networks)
    .where(and(inArray(networks.organisationId, [...organisationIds]), isNull(networks.deletedAt)));
}

/** A host in a network. */
export interface NetworkMembership {
  organisationId: string;
  networkId: string;
  hostId: string;
}

/** Makes these the automatic memberships of these hosts; memberships that somebody assigned by hand stay. */
export async function replaceAutoAssignedMemberships(
  tx: Transaction,
  hostIds: readonly string[],
  memberships: readonly NetworkMembership[],
): Promise<void> {
  const networkOf = sql.param(memberships.map(({ networkId }) => networkId));
  const hostOf = sql.param(memberships.map(({ hostId }) => hostId));
  await tx.execute(sql`
    update host_network_memberships m
    set deleted_at = now(), updated_at = now()
    where m.host_id = any(${sql.param(hostIds)}::text[])
      and m.auto_assigned
      and m.deleted_at is null
      and not exists (
        select from unnest(${networkOf}::text[], ${hostOf}::text[]) as w(network_id, host_id)
        where w.network_id = m.network_id and w.host_id = m.host_id
      )`);
  if (memberships.length === 0) return;
  await tx.execute(sql`
    insert into host_network_memberships as m (id, organisation_id, network_id, host_id, auto_assigned)
    select w.id, w.organisation_id, w.network_id, w.host_id, true
    from unnest(
      ${sql.param(memberships.map(() => createId()))}::text[],
      ${sql.param(memberships.map(({ organisationId }) => organisationId))}::text[],
      ${networkOf}::text[], ${hostOf}::text[]
    ) as w(id, organisation_id, network_id, host_id)
    on conflict (network_id, host_id) do update
      set deleted_at = null, updated_at = now()
      where m.auto_assigned and m.deleted_at is not null`);
}
