import { and, asc, desc, eq, isNull, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { agentAdoptions, agentRegistrations } from "../schema/ingest/index.js";
import {
  agentEnrolmentTokens,
  agentStatusHistory,
  agents,
  hostNetworkMemberships,
  hosts,
  networks,
  OLDEST_HOST_FIRST,
  organisations,
  resourceTags,
  tags,
} from "../schema/platform/index.js";

/** The newest lines of the history that are read. */
const HISTORY_LIMIT = 50;

/** All that is stored of one agent, but for the certificates themselves. */
export type AgentDetails = NonNullable<Awaited<ReturnType<typeof findAgentDetails>>>;

/** All that is known of an agent, deleted ones included. */
export async function findAgentDetails(db: Queryable, agentId: string) {
  const [found] = await db
    .select({
      agent: agents,
      organisation: { id: organisations.id, slug: organisations.slug, name: organisations.name },
      enrolmentToken: { id: agentEnrolmentTokens.id, label: agentEnrolmentTokens.label },
      registration: {
        at: agentRegistrations.registeredAt,
        remoteAddress: agentRegistrations.remoteAddress,
        showedCertificate: agentRegistrations.showedCertificate,
      },
      adoptedAt: agentAdoptions.adoptedAt,
    })
    .from(agents)
    .innerJoin(organisations, eq(organisations.id, agents.organisationId))
    .leftJoin(agentEnrolmentTokens, eq(agentEnrolmentTokens.id, agents.enrolmentTokenId))
    .leftJoin(agentRegistrations, eq(agentRegistrations.agentId, agents.id))
    .leftJoin(agentAdoptions, eq(agentAdoptions.agentId, agents.id))
    .where(eq(agents.id, agentId));
  if (found === undefined) return undefined;
  const host = await findHost(db, agentId);
  return {
    ...found,
    certificates: await listCertificates(db, agentId),
    host,
    tags: host === undefined ? [] : await listHostTags(db, host.id),
    networks: host === undefined ? [] : await listHostNetworks(db, host.id),
    history: await listHistory(db, agentId),
  };
}

/** Its host; a deleted one only where there is no other. */
async function findHost(db: Queryable, agentId: string) {
  const [host] = await db
    .select()
    .from(hosts)
    .where(eq(hosts.agentId, agentId))
    .orderBy(sql`${hosts.deletedAt} is not null`, ...OLDEST_HOST_FIRST)
    .limit(1);
  return host;
}

/** A client certificate of an agent. */
export interface HeldCertificate {
  /** Lower-case hex without leading zeros. */
  serial: string;
  notBefore: Date | null;
  notAfter: Date | null;
  /** Null where it was issued before certificates were remembered. */
  issuerFingerprintSha256: string | null;
  /** It is the newest one, which `agents` shows. */
  onRecord: boolean;
  revokedAt: Date | null;
  revokedReason: string | null;
}

/** The certificates that are remembered, and the one on record; the newest first. */
async function listCertificates(db: Queryable, agentId: string): Promise<HeldCertificate[]> {
  const { rows } = await db.execute<Record<keyof HeldCertificate, string | null> & { serial: string }>(sql`
    with held as (
      select serial, not_before, not_after, issuer_fingerprint_sha256
      from ingest.client_certificates
      where agent_id = ${agentId}
      union all
      select a.client_cert_serial, a.client_cert_issued_at, a.client_cert_not_after, null
      from agents a
      where a.id = ${agentId}
        and a.client_cert_serial is not null
        and not exists (select from ingest.client_certificates c where c.serial = a.client_cert_serial)
    )
    select h.serial,
           h.not_before as "notBefore",
           h.not_after as "notAfter",
           h.issuer_fingerprint_sha256 as "issuerFingerprintSha256",
           (select a.client_cert_serial = h.serial from agents a where a.id = ${agentId}) as "onRecord",
           r.revoked_at as "revokedAt",
           r.reason as "revokedReason"
    from held h
    left join revoked_certificates r on r.serial = h.serial
    order by h.not_after desc nulls last, h.serial`);
  const date = (text: string | null) => (text === null ? null : new Date(text));
  return rows.map(({ onRecord, notBefore, notAfter, revokedAt, ...row }) => ({
    ...row,
    onRecord: Boolean(onRecord),
    notBefore: date(notBefore),
    notAfter: date(notAfter),
    revokedAt: date(revokedAt),
  }));
}

async function listHostTags(db: Queryable, hostId: string) {
  return db
    .select({ key: tags.key, value: tags.value })
    .from(resourceTags)
    .innerJoin(tags, eq(tags.id, resourceTags.tagId))
    .where(and(eq(resourceTags.resourceType, "host"), eq(resourceTags.resourceId, hostId)))
    .orderBy(asc(tags.key), asc(tags.value));
}

async function listHostNetworks(db: Queryable, hostId: string) {
  return db
    .select({
      id: networks.id,
      name: networks.name,
      cidr: networks.cidr,
      autoAssigned: hostNetworkMemberships.autoAssigned,
    })
    .from(hostNetworkMemberships)
    .innerJoin(networks, eq(networks.id, hostNetworkMemberships.networkId))
    .where(
      and(
        eq(hostNetworkMemberships.hostId, hostId),
        isNull(hostNetworkMemberships.deletedAt),
        isNull(networks.deletedAt),
      ),
    )
    .orderBy(asc(networks.name), asc(networks.id));
}

async function listHistory(db: Queryable, agentId: string) {
  const { status, reason, actorId, createdAt } = agentStatusHistory;
  return (
    db
      .select({ status, reason, actorId, createdAt })
      .from(agentStatusHistory)
      .where(eq(agentStatusHistory.agentId, agentId))
      // An enrolment that approves itself writes two lines at one moment.
      .orderBy(desc(createdAt), sql`${status} = 'pending'`, desc(agentStatusHistory.id))
      .limit(HISTORY_LIMIT)
  );
}
