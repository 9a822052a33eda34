import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { UNDOABLE } from "./adoptions.js";

/** How long an agent that said something is taken to be there. */
export const PRESENCE_S = 90;

/** Two that match are refused, and so are two thousand: of more than this the rest changes nothing. */
const MAX_MATCHING = 100;

/** What is looked for: the same organisation, and one of the other two. */
export interface MachineDescription {
  organisationId: string;
  /** Undefined when it names no machine. Compared whatever its case. */
  hostname: string | undefined;
  /** Addresses that tell machines apart. */
  addresses: readonly string[];
  /** An agent whose hosts are passed over, whether it is deleted or not. */
  exceptOfAgent?: string | undefined;
}

/** A host, not deleted, that may be the same machine; of an agent with two hosts, the one that counts. */
export interface MatchingHost {
  hostId: string;
  hostname: string;
  /** unknown, online, offline */
  status: string;
  /** Undefined when it has none, or that is deleted. */
  agent: MatchingAgent | undefined;
  hostnameMatches: boolean;
  matchingAddresses: readonly string[];
}

/** The agent of a {@link MatchingHost}. */
export interface MatchingAgent {
  id: string;
  status: string;
  /** Its session is not closed, and it said something less than {@link PRESENCE_S} ago. */
  isStreaming: boolean;
  /** Its newest word was a registration, less than {@link PRESENCE_S} ago. */
  hasJustRegistered: boolean;
  /** A new key has adopted it and waits for approval. */
  isAdopted: boolean;
}

/**
 * The hosts that match each of some machines, at most a hundred, those that are online first. One that is adopted also
 * by what it was before, which undoing that gives back to it: otherwise an adoption under another name would free its
 * name for a second host.
 *
 * @returns in the order of the machines
 */
export async function findMatchingHosts(
  db: Queryable,
  machines: readonly MachineDescription[],
): Promise<MatchingHost[][]> {
  const wanted = machines.map(({ organisationId, hostname, addresses, exceptOfAgent }, index) => ({
    index,
    organisation_id: organisationId,
    hostname,
    addresses,
    except_of_agent: exceptOfAgent,
  }));
  // Arrays instead of joins: how many rows share an address is guessed far too high, and hosts would be read as a whole.
  const { rows } = await db.execute<{
    index: number;
    id: string;
    hostname: string;
    status: string;
    hostname_matches: boolean;
    addresses: string[] | null;
    previous_addresses: string[] | null;
    agent_id: string | null;
    agent_status: string;
    is_streaming: boolean;
    has_just_registered: boolean;
    is_adopted: boolean;
  }>(sql`
    select m.index, found.*
    from jsonb_to_recordset(${JSON.stringify(wanted)}::jsonb)
      as m(index int, organisation_id text, hostname text, addresses text[], except_of_agent text)
    cross join lateral (
      select own.id, own.status,
             case when lower(c.previous_hostname) = lower(m.hostname) then c.previous_hostname else h.hostname end
               as hostname,
             coalesce(lower(m.hostname) in (lower(h.hostname), lower(c.previous_hostname)), false) as hostname_matches,
             coalesce(h.ip_addresses, to_jsonb(r.identifying_addresses)) as addresses, c.previous_addresses,
             a.id as agent_id, a.status as agent_status,
             coalesce(s.agent_id is not null and s.closed_at is null
               and greatest(s.opened_at, a.last_heartbeat_at) > now() - make_interval(secs => ${PRESENCE_S}), false)
               as is_streaming,
             coalesce(r.registered_at > now() - make_interval(secs => ${PRESENCE_S})
               and r.registered_at >= coalesce(greatest(s.opened_at, a.last_heartbeat_at), '-infinity'), false)
               as has_just_registered,
             c.agent_id is not null as is_adopted
      from hosts h
      left join agents a on a.id = h.agent_id and a.deleted_at is null
      join hosts own on own.id = coalesce((
        select id from hosts where agent_id = a.id and deleted_at is null order by created_at, id limit 1), h.id)
      left join ingest.agent_sessions s on s.agent_id = a.id
      left join ingest.agent_registrations r on r.agent_id = a.id
      left join ingest.agent_adoptions c on c.agent_id = a.id and ${UNDOABLE}
      where h.id = any(array(
          select id from hosts
          where organisation_id = m.organisation_id and lower(hostname) = lower(m.hostname)
          union all
          select id from hosts where ip_addresses ?| m.addresses
          union all
          select id from hosts
          where ip_addresses is null and agent_id = any(array(
            select agent_id from ingest.agent_registrations where identifying_addresses && m.addresses))
          union all
          select id from hosts
          where agent_id = any(array(
            select agent_id from ingest.agent_adoptions join agents a on a.id = agent_id and ${UNDOABLE}
            where lower(previous_hostname) = lower(m.hostname) or previous_addresses && m.addresses))
        ))
        and h.organisation_id = m.organisation_id and h.deleted_at is null
        and h.agent_id is distinct from coalesce(m.except_of_agent, '')
      order by own.status = 'online' desc, own.id, h.id
      limit ${MAX_MATCHING}
    ) found
    order by m.index, found.status = 'online' desc, found.id`);
  const found = machines.map(() => new Map<string, MatchingHost>());
  for (const row of rows) {
    const addresses = machines[row.index]?.addresses ?? [];
    const before = found[row.index]?.get(row.id);
    const matchingAddresses = addresses.filter(
      (address) =>
        row.addresses?.includes(address) ||
        row.previous_addresses?.includes(address) ||
        before?.matchingAddresses.includes(address),
    );
    found[row.index]?.set(row.id, {
      hostId: row.id,
      hostname: row.hostname,
      status: row.status,
      hostnameMatches: row.hostname_matches || before?.hostnameMatches === true,
      matchingAddresses,
      agent:
        row.agent_id === null
          ? undefined
          : {
              id: row.agent_id,
              status: row.agent_status,
              isStreaming: row.is_streaming,
              hasJustRegistered: row.has_just_registered,
              isAdopted: row.is_adopted,
            },
    });
  }
  return found.map((byId) => [...byId.values()]);
}
