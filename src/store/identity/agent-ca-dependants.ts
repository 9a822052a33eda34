import { and, asc, gt, isNotNull, isNull, notExists, sql } from "drizzle-orm";
import { isCallingStatus } from "../agents/calling-statuses.js";
import type { Queryable } from "../database.js";
import { clientCertificates } from "../schema/ingest/index.js";
import { agents } from "../schema/platform/index.js";

/** How many agents hold a certificate of one agent CA as their newest one. */
export interface IssuerCount {
  issuerFingerprintSha256: string;
  agents: number;
  /** When the last of these certificates expires. */
  until: Date;
}

/** Counts the agents that may call by the issuer of their newest certificate. */
export async function countAgentsByIssuer(db: Queryable): Promise<IssuerCount[]> {
  const { rows } = await db.execute<{ issuer: string; agents: number; until: Date }>(sql`
    with newest as (
      select distinct on (c.agent_id) c.issuer_fingerprint_sha256 as issuer, c.not_after
      from ingest.client_certificates c
      join agents a on a.id = c.agent_id
      where c.not_after > now() and a.deleted_at is null and ${isCallingStatus(sql`a.status`)}
      -- Certificates count in seconds: of two of one second the one on record is the newest.
      order by c.agent_id, c.serial is not distinct from a.client_cert_serial desc, c.not_before desc
    )
    select issuer, count(*)::int as agents, max(not_after) as until from newest group by issuer`);
  return rows.map(({ issuer, agents, until }) => ({ issuerFingerprintSha256: issuer, agents, until: new Date(until) }));
}

/** A certificate of which only the agent's row knows: the earlier service issued it. */
export interface UnlistedCertificate {
  agentId: string;
  certPem: string;
  notAfter: Date;
}

/** A page of the agents whose certificate only their row knows, by id. */
export async function listUnlistedCertificates(
  db: Queryable,
  { after, limit }: { after: string; limit: number },
): Promise<UnlistedCertificate[]> {
  const listed = db
    .select({ one: sql`1` })
    .from(clientCertificates)
    .where(and(sql`${clientCertificates.agentId} = ${agents.id}`, gt(clientCertificates.notAfter, sql`now()`)));
  return db
    .select({
      agentId: agents.id,
      certPem: sql<string>`${agents.clientCertPem}`,
      notAfter: sql<Date>`${agents.clientCertNotAfter}`.mapWith(agents.clientCertNotAfter),
    })
    .from(agents)
    .where(
      and(
        gt(agents.id, after),
        isNull(agents.deletedAt),
        isCallingStatus(agents.status),
        isNotNull(agents.clientCertPem),
        gt(agents.clientCertNotAfter, sql`now()`),
        notExists(listed),
      ),
    )
    .orderBy(asc(agents.id))
    .limit(limit);
}
