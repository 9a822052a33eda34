import { and, eq, exists, gt, inArray, isNotNull, isNull, lt, not, or, sql } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { StoredCertificate } from "../agents/agents.js";
import { isCallingStatus } from "../agents/calling-statuses.js";
import type { Queryable } from "../database.js";
import { agentAdoptions, clientCertificates } from "../schema/ingest/index.js";
import { agents, revokedCertificates } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

/** What is on record of an agent that may have a client certificate, and of its newest one. */
export interface CertificateOnRecord {
  organisationId: string;
  publicKey: string;
  pem: string | null;
  serial: string | null;
  isRevoked: boolean;
  /** Whether {@link rememberClientCertificate} knows it; those that the earlier service issued are not known. */
  isRemembered: boolean;
}

/** In the order of the agents; undefined when one may not have a certificate: it is pending, revoked or deleted, or does not exist. */
export async function findCertificatesOnRecord(
  db: Queryable,
  agentIds: readonly string[],
): Promise<(CertificateOnRecord | undefined)[]> {
  const rows = await db
    .select({
      agentId: agents.id,
      organisationId: agents.organisationId,
      publicKey: agents.publicKey,
      pem: agents.clientCertPem,
      serial: agents.clientCertSerial,
      isRevoked: sql<boolean>`${exists(
        db
          .select({ one: sql`1` })
          .from(revokedCertificates)
          .where(eq(revokedCertificates.serial, agents.clientCertSerial)),
      )}`,
      isRemembered: sql<boolean>`${exists(
        db
          .select({ one: sql`1` })
          .from(clientCertificates)
          .where(eq(clientCertificates.serial, agents.clientCertSerial)),
      )}`,
    })
    .from(agents)
    .where(
      and(
        sql`${agents.id} = any(${sql.param([...agentIds])}::text[])`,
        isCallingStatus(agents.status),
        isNull(agents.deletedAt),
      ),
    );
  const byAgent = new Map(rows.map(({ agentId, ...onRecord }) => [agentId, onRecord]));
  return agentIds.map((agentId) => byAgent.get(agentId));
}

/** What is remembered of a certificate until it expires. */
export type RememberedCertificate = Omit<StoredCertificate, "pem"> & { issuerFingerprintSha256: string };

/**
 * Puts a newly issued certificate on record, if nothing changed since the record was read: neither the agent's status,
 * nor its key, nor its newest certificate. The one before stays remembered.
 */
export async function replaceClientCertificate(
  db: Queryable,
  agentId: string,
  before: Pick<CertificateOnRecord, "publicKey" | "serial">,
  certificate: StoredCertificate & RememberedCertificate,
): Promise<boolean> {
  const { pem, serial, notBefore, notAfter, issuerFingerprintSha256 } = certificate;
  const result = await db.execute(sql`
    with replaced as (
      update agents
      set client_cert_pem = ${pem}, client_cert_serial = ${serial}, client_cert_issued_at = ${notBefore},
          client_cert_not_after = ${notAfter}, updated_at = now()
      where id = ${agentId} and ${isCallingStatus(sql`status`)} and deleted_at is null
        and public_key = ${before.publicKey} and client_cert_serial is not distinct from ${before.serial}::text
      returning id
    )
    insert into ingest.client_certificates (serial, agent_id, issuer_fingerprint_sha256, not_before, not_after)
    select ${serial}::text, id, ${issuerFingerprintSha256}::text, ${notBefore}::timestamptz, ${notAfter}::timestamptz
    from replaced`);
  return result.rowCount === 1;
}

/**
 * Remembers a certificate until it expires, so that revoking its agent revokes it. Does nothing for an agent that is
 * being deleted: without the lock its row would be waited for, and then missed, by the foreign key.
 */
export async function rememberClientCertificate(
  db: Queryable,
  agentId: string,
  { serial, notBefore, notAfter, issuerFingerprintSha256 }: RememberedCertificate,
): Promise<void> {
  await db.execute(sql`
    insert into ingest.client_certificates (serial, agent_id, issuer_fingerprint_sha256, not_before, not_after)
    select ${serial}::text, id, ${issuerFingerprintSha256}::text, ${notBefore}::timestamptz, ${notAfter}::timestamptz
    from agents
    where id = ${agentId}
    for key share
    on conflict (serial) do nothing`);
}

/** Forgets the certificates that expired more than a day ago: no clock takes them for good any more. */
export async function forgetExpiredCertificates(db: Queryable): Promise<number> {
  const result = await db
    .delete(clientCertificates)
    .where(lt(clientCertificates.notAfter, sql`now() - interval '1 day'`));
  return result.rowCount ?? 0;
}

/** Revokes every certificate of an agent that has not expired. */
export async function revokeClientCertificates(tx: Transaction, agentId: string, reason: string): Promise<void> {
  await revokeSerials(tx, await listUnrevoked(tx, eq(agents.id, agentId)), reason);
}

/**
 * Revokes the certificates of agents that were revoked or deleted by somebody who knows only of the newest one. Not of
 * those of which only the key was rejected that had adopted them: theirs are of the key before, which is let in again.
 *
 * @param agentIds the ones to look at; all when left out
 * @returns the serials it revoked
 */
export async function revokeCertificatesOfRevokedAgents(
  db: Queryable,
  { agentIds, reason }: { agentIds?: readonly string[]; reason: string },
): Promise<string[]> {
  const adoption = db.select({ one: sql`1` }).from(agentAdoptions).where(eq(agentAdoptions.agentId, agents.id));
  const isRejected = and(isNull(agents.approvedAt), exists(adoption));
  const isRevoked = or(and(eq(agents.status, "revoked"), not(isRejected ?? sql`false`)), isNotNull(agents.deletedAt));
  const found = await listUnrevoked(db, and(isRevoked, agentIds && inArray(agents.id, [...agentIds])));
  await revokeSerials(db, found, reason);
  return found.map(({ serial }) => serial);
}

interface HeldSerial {
  organisationId: string;
  serial: string;
}

/** The serials that are good and held by the agents of a condition: remembered, or on record in `agents` alone. */
async function listUnrevoked(db: Queryable, condition: ReturnType<typeof and>): Promise<HeldSerial[]> {
  const { rows } = await db.execute<{ organisation_id: string; serial: string }>(sql`
    with held as (
      select ${agents.organisationId} as organisation_id, ${clientCertificates.serial} as serial
      from ${agents} join ${clientCertificates} on ${clientCertificates.agentId} = ${agents.id}
      where ${condition} and ${gt(clientCertificates.notAfter, sql`now() - interval '1 day'`)}
      union
      select ${agents.organisationId}, ${agents.clientCertSerial}
      from ${agents}
      where ${condition} and ${isNotNull(agents.clientCertSerial)}
    )
    select organisation_id, serial
    from held
    where not exists (select from ${revokedCertificates} where ${revokedCertificates.serial} = held.serial)
    order by serial`);
  return rows.map((row) => ({ organisationId: row.organisation_id, serial: row.serial }));
}

async function revokeSerials(db: Queryable, held: readonly HeldSerial[], reason: string): Promise<void> {
  if (held.length === 0) return;
  const column = (of: (held: HeldSerial) => string) => sql`${sql.param(held.map(of))}::text[]`;
  await db.execute(sql`
    insert into revoked_certificates (id, organisation_id, serial, reason)
    select w.id, w.organisation_id, w.serial, ${reason}
    from unnest(${column(createId)}, ${column((h) => h.organisationId)}, ${column((h) => h.serial)})
      as w(id, organisation_id, serial)
    on conflict (serial) do nothing`);
}

/** Whether a certificate with this serial number was revoked. */
export async function isSerialRevoked(db: Queryable, serial: string): Promise<boolean> {
  const rows = await db
    .select({ serial: revokedCertificates.serial })
    .from(revokedCertificates)
    .where(eq(revokedCertificates.serial, serial))
    .limit(1);
  return rows.length > 0;
}
