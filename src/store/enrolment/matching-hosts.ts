import { sql } from "drizzle-orm";
import { hostnameSpellings } from "../../lib/formats/hostname-spellings.js";
import type { Queryable } from "../database.js";
import { UNDOABLE } from "./adoptions.js";
import { HOST_STATE_COLUMNS, HOST_STATE_JOINS, type HostState, type HostStateRow, toHostState } from "./host-state.js";

/** Two that match are refused, and so are two thousand: of more than this the rest changes nothing. */
const MAX_MATCHING = 100;
/** Those of a host that are looked at to find the ones that count. */
const MAX_ADDRESSES = 128;

/** What is looked for: the same organisation, and one of the other two. */
export interface MachineDescription {
  organisationId: string;
  /** Undefined when it names no machine. Compared whatever its case, and with or without a dot at its end. */
  hostname: string | undefined;
  /** Addresses that tell machines apart. */
  addresses: readonly string[];
  /** An agent whose hosts are passed over, whether it is deleted or not. */
  exceptOfAgent?: string | undefined;
}

/** A host that may be the same machine. */
export interface MatchingHost extends HostState {
  hostnameMatches: boolean;
  matchingAddresses: readonly string[];
}

/**
 * The hosts that match each of some machines, at most a hundred, those with the same hostname first, then those that are
 * online. One that is adopted also by what it was before, which undoing that gives back to it: otherwise an adoption
 * under another name would free its name for a second host.
 *
 * @param pickIdentifying of a host's addresses those that count
 * @returns in the order of the machines
 */
export async function findMatchingHosts(
  db: Queryable,
  machines: readonly MachineDescription[],
  pickIdentifying: (addresses: readonly string[]) => readonly string[],
): Promise<MatchingHost[][]> {
  const candidateIds = await findCandidates(db, machines);
  if (candidateIds.length === 0) return machines.map(() => []);
  const wanted = machines.map(({ organisationId, hostname, addresses, exceptOfAgent }, index) => ({
    index,
    organisation_id: organisationId,
    hostnames: spellingsOf(hostname),
    addresses,
    except_of_agent: exceptOfAgent,
  }));
  const { rows } = await db.execute<
    HostStateRow & {
      index: number;
      hostname_matches: boolean;
      addresses: string[] | null;
      previous_addresses: string[] | null;
    }
  >(sql`
    with candidate as materialized (
      select h.id, h.organisation_id, h.ip_addresses, lower(h.hostname) as hostname, r.identifying_addresses,
             lower(c.previous_hostname) as previous_hostname, c.previous_addresses
      from hosts h
      left join agents a on a.id = h.agent_id
      left join ingest.agent_registrations r on r.agent_id = a.id
      left join ingest.agent_adoptions c on c.agent_id = a.id and ${UNDOABLE}
      where h.id = any(${sql.param(candidateIds)}::text[])
    )
    select m.index, found.*
    from jsonb_to_recordset(${JSON.stringify(wanted)}::jsonb)
      as m(index int, organisation_id text, hostnames text[], addresses text[], except_of_agent text)
    cross join lateral (select array(select lower(name) from unnest(m.hostnames) as name) as names) folded
    cross join lateral (
      select case when lower(c.previous_hostname) = any(folded.names) then c.previous_hostname else h.hostname end
               as hostname,
             coalesce(lower(h.hostname) = any(folded.names) or lower(c.previous_hostname) = any(folded.names), false)
               as hostname_matches,
             jsonb_path_query_array(coalesce(h.ip_addresses, to_jsonb(r.identifying_addresses)),
               ${`$[0 to ${MAX_ADDRESSES - 1}]`}::jsonpath) as addresses,
             c.previous_addresses,
             ${HOST_STATE_COLUMNS}
      from hosts h
      ${HOST_STATE_JOINS}
      where h.id = any(array(
          select id from candidate
          where organisation_id = m.organisation_id
            and (hostname = any(folded.names) or ip_addresses ?| m.addresses
              or ip_addresses is null and identifying_addresses && m.addresses
              or previous_hostname = any(folded.names) or previous_addresses && m.addresses)
        ))
        and h.deleted_at is null and h.agent_id is distinct from coalesce(m.except_of_agent, '')
      order by hostname_matches desc, own.status = 'online' desc, own.id, h.id
      limit ${MAX_MATCHING}
    ) found
    order by m.index, found.hostname_matches desc, found.status = 'online' desc, found.id`);
  const found = machines.map(() => new Map<string, MatchingHost>());
  for (const row of rows) {
    const { addresses = [] } = machines[row.index] ?? {};
    const before = found[row.index]?.get(row.id);
    const counting = new Set([
      ...pickIdentifying(row.addresses ?? []),
      ...pickIdentifying(row.previous_addresses ?? []),
      ...(before?.matchingAddresses ?? []),
    ]);
    const matchingAddresses = addresses.filter((address) => counting.has(address));
    const hostnameMatches = row.hostname_matches || before?.hostnameMatches === true;
    if (!hostnameMatches && matchingAddresses.length === 0) continue;
    found[row.index]?.set(row.id, { ...toHostState(row), hostnameMatches, matchingAddresses });
  }
  return found.map((byId) => [...byId.values()]);
}

/**
 * The hosts that match any of some machines, whichever organisation they are of: of new machines there is none, and no more
 * is asked. Each table is searched once for all: where a fleet is enrolling, PostgreSQL knows too little of the tables, and
 * reads them as a whole.
 */
async function findCandidates(db: Queryable, machines: readonly MachineDescription[]): Promise<string[]> {
  const hostnames = sql.param(machines.flatMap(({ hostname }) => spellingsOf(hostname)));
  const addresses = sql`${sql.param([...new Set(machines.flatMap(({ addresses }) => addresses))])}::text[]`;
  const organisations = sql`${sql.param([...new Set(machines.map(({ organisationId }) => organisationId))])}::text[]`;
  const names = sql`any(array(select lower(name) from unnest(${hostnames}::text[]) as name))`;
  // Arrays and values instead of joins: how many rows share an address is guessed far too high, and how many agents there
  // are too low.
  const { rows } = await db.execute<{ id: string }>(sql`
    select id from hosts where organisation_id = any(${organisations}) and lower(hostname) = ${names}
    union
    select id from hosts where ip_addresses ?| ${addresses}
    union
    select id from hosts
    where ip_addresses is null and agent_id = any(array(
      select agent_id from ingest.agent_registrations where identifying_addresses && ${addresses}))
    union
    select id from hosts
    where agent_id = any(array(
      select agent_id from ingest.agent_adoptions
      where (lower(previous_hostname) = ${names} or previous_addresses && ${addresses})
        and (select ${UNDOABLE} from agents a where a.id = agent_id)))`);
  return rows.map(({ id }) => id);
}

function spellingsOf(hostname: string | undefined): string[] {
  return hostname === undefined ? [] : hostnameSpellings(hostname);
}
