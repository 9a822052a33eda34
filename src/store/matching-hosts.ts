import { sql } from "drizzle-orm";
import type { Queryable } from "./database.js";

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
}

/** A host, not deleted, that may be the same machine. */
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
  /** A new key has claimed it and waits for approval. */
  isClaimed: boolean;
}

/**
 * The hosts that match a machine, at most a hundred, those that are online first. One that is claimed also by what it was before, which undoing the claim gives
 * back to it: otherwise a claim under another name would free its name for a second host.
 *
 * @param options.exceptOfAgent an agent whose hosts are passed over, whether it is deleted or not
 */
export async function findMatchingHosts(
  db: Queryable,
  { organisationId, hostname, addresses }: MachineDescription,
  { exceptOfAgent }: { exceptOfAgent?: string | undefined } = {},
): Promise<MatchingHost[]> {
  if (hostname === undefined && addresses.length === 0) return [];
  const anyHostname = hostname ?? null;
  const anyAddress = sql.param(addresses);
  // Arrays instead of joins: how many rows share an address is guessed far too high, and hosts would be read as a whole.
  const { rows } = await db.execute<{
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
    is_claimed: boolean;
  }>(sql`
    select h.id, h.status,
           case when lower(c.previous_hostname) = lower(${anyHostname}::text) then c.previous_hostname else h.hostname end
             as hostname,
           coalesce(lower(${anyHostname}::text) in (lower(h.hostname), lower(c.previous_hostname)), false)
             as hostname_matches,
           coalesce(h.ip_addresses, to_jsonb(r.identifying_addresses)) as addresses, c.previous_addresses,
           a.id as agent_id, a.status as agent_status,
           coalesce(s.agent_id is not null and s.closed_at is null
             and greatest(s.opened_at, a.last_heartbeat_at) > now() - make_interval(secs => ${PRESENCE_S}), false)
             as is_streaming,
           coalesce(r.registered_at > now() - make_interval(secs => ${PRESENCE_S})
             and r.registered_at >= coalesce(greatest(s.opened_at, a.last_heartbeat_at), '-infinity'), false)
             as has_just_registered,
           c.agent_id is not null as is_claimed
    from hosts h
    left join agents a on a.id = h.agent_id and a.deleted_at is null
    left join ingest.agent_sessions s on s.agent_id = a.id
    left join ingest.agent_registrations r on r.agent_id = a.id
    left join ingest.agent_adoptions c on c.agent_id = a.id and a.status = 'pending'
    where h.id = any(array(
        select id from hosts
        where organisation_id = ${organisationId} and lower(hostname) = lower(${anyHostname}::text)
        union all
        select id from hosts where ip_addresses ?| ${anyAddress}::text[]
        union all
        select id from hosts
        where ip_addresses is null and agent_id = any(array(
          select agent_id from ingest.agent_registrations where identifying_addresses && ${anyAddress}::text[]))
        union all
        select id from hosts
        where agent_id = any(array(
          select agent_id from ingest.agent_adoptions join agents on agents.id = agent_id and agents.status = 'pending'
          where lower(previous_hostname) = lower(${anyHostname}::text) or previous_addresses && ${anyAddress}::text[]))
      ))
      and h.organisation_id = ${organisationId} and h.deleted_at is null
      and h.agent_id is distinct from ${exceptOfAgent ?? ""}
    order by h.status = 'online' desc, h.id
    limit ${MAX_MATCHING}`);
  return rows.map((row) => ({
    hostId: row.id,
    hostname: row.hostname,
    status: row.status,
    hostnameMatches: row.hostname_matches,
    matchingAddresses: addresses.filter(
      (address) => row.addresses?.includes(address) || row.previous_addresses?.includes(address),
    ),
    agent:
      row.agent_id === null
        ? undefined
        : {
            id: row.agent_id,
            status: row.agent_status,
            isStreaming: row.is_streaming,
            hasJustRegistered: row.has_just_registered,
            isClaimed: row.is_claimed,
          },
  }));
}
