import { sql } from "drizzle-orm";
import { parseAddress } from "../../lib/formats/cidr.js";
import { createId } from "../../lib/ids.js";
import type { Transaction } from "../transaction.js";

/** The addresses of a host. */
export interface HostAddresses {
  hostId: string;
  organisationId: string;
  /** What is no address is in no network. */
  ipAddresses: readonly string[];
}

/** A host in a network. */
export interface NetworkMembership {
  organisationId: string;
  networkId: string;
  hostId: string;
}

/**
 * The networks that hold one of the addresses of these hosts. An address is looked up once for each length of prefix that
 * its organisation's networks have, so that the work does not grow with addresses times networks.
 */
export async function findNetworksOf(tx: Transaction, hosts: readonly HostAddresses[]): Promise<NetworkMembership[]> {
  const addresses = hosts.flatMap(({ hostId, organisationId, ipAddresses }) =>
    ipAddresses.flatMap((text) => {
      const address = parseAddress(text)?.toString();
      return address === undefined ? [] : [{ hostId, organisationId, address }];
    }),
  );
  const column = (of: (address: (typeof addresses)[number]) => string) => sql.param(addresses.map(of));
  const { rows } = await tx.execute<{ organisation_id: string; network_id: string; host_id: string }>(sql`
    with address as materialized (
      select a.host_id, a.organisation_id, a.address::inet as ip
      from unnest(${column((a) => a.hostId)}::text[], ${column((a) => a.organisationId)}::text[],
                  ${column((a) => a.address)}::text[]) as a(host_id, organisation_id, address)
    ), network as materialized (
      select n.id, n.organisation_id, ingest.network_range(n.cidr) as range
      from networks n
      where n.organisation_id = any(${sql.param([...new Set(hosts.map(({ organisationId }) => organisationId))])}::text[])
        and n.deleted_at is null
    ), prefix as (
      select distinct organisation_id, family(range) as family, masklen(range) as length from network
    )
    select distinct a.organisation_id, n.id as network_id, a.host_id
    from address a
    join prefix p on p.organisation_id = a.organisation_id and p.family = family(a.ip)
    join network n on n.organisation_id = a.organisation_id
                  and network(n.range) = network(set_masklen(a.ip, p.length))`);
  return rows.map((row) => ({
    organisationId: row.organisation_id,
    networkId: row.network_id,
    hostId: row.host_id,
  }));
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
