import { and, desc, eq, gt, isNull, ne, notExists, sql } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { Queryable } from "../database.js";
import { retiredAgentCas } from "../schema/ingest/index.js";
import { certificateAuthorities } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

const AGENT_CA = "agent_ca";

/** A row of an agent CA. */
export type CertificateAuthorityRow = typeof certificateAuthorities.$inferSelect;

/** What is stored of a new agent CA. */
export type NewCertificateAuthority = Pick<
  CertificateAuthorityRow,
  "certPem" | "keyPemEncrypted" | "source" | "fingerprintSha256" | "notBefore" | "notAfter"
>;

/** An agent CA whose leaves are good: in date and not retired. */
export interface TrustedAgentCa {
  id: string;
  certPem: string;
  fingerprintSha256: string;
  updatedAt: Date;
  /** Its row is not deleted: of those that are active the newest one signs. */
  active: boolean;
}

const isRetired = (db: Queryable) =>
  db
    .select({ one: sql`1` })
    .from(retiredAgentCas)
    .where(eq(retiredAgentCas.fingerprintSha256, certificateAuthorities.fingerprintSha256));

/** The agent CAs whose leaves are good, in the order in which they are to sign: active ones first, newest first. */
export async function listTrustedAgentCas(db: Queryable): Promise<TrustedAgentCa[]> {
  return db
    .select({
      id: certificateAuthorities.id,
      certPem: certificateAuthorities.certPem,
      fingerprintSha256: certificateAuthorities.fingerprintSha256,
      updatedAt: certificateAuthorities.updatedAt,
      active: sql<boolean>`${isNull(certificateAuthorities.deletedAt)}`,
    })
    .from(certificateAuthorities)
    .where(
      and(
        eq(certificateAuthorities.purpose, AGENT_CA),
        gt(certificateAuthorities.notAfter, sql`now()`),
        notExists(isRetired(db)),
      ),
    )
    .orderBy(
      sql`${certificateAuthorities.deletedAt} desc nulls first`,
      desc(certificateAuthorities.createdAt),
      desc(certificateAuthorities.id),
    );
}

/** An agent CA as an operator sees it. */
export interface AgentCaRecord {
  id: string;
  certPem: string;
  fingerprintSha256: string;
  source: string;
  createdAt: Date;
  notAfter: Date;
  deletedAt: Date | null;
  retiredAt: Date | null;
  expired: boolean;
}

/** Every agent CA there ever was, newest first. */
export async function listAgentCaRecords(db: Queryable): Promise<AgentCaRecord[]> {
  return db
    .select({
      id: certificateAuthorities.id,
      certPem: certificateAuthorities.certPem,
      fingerprintSha256: certificateAuthorities.fingerprintSha256,
      source: certificateAuthorities.source,
      createdAt: certificateAuthorities.createdAt,
      notAfter: certificateAuthorities.notAfter,
      deletedAt: certificateAuthorities.deletedAt,
      retiredAt: retiredAgentCas.retiredAt,
      expired: sql<boolean>`${certificateAuthorities.notAfter} <= now()`,
    })
    .from(certificateAuthorities)
    .leftJoin(retiredAgentCas, eq(retiredAgentCas.fingerprintSha256, certificateAuthorities.fingerprintSha256))
    .where(eq(certificateAuthorities.purpose, AGENT_CA))
    .orderBy(desc(certificateAuthorities.createdAt), desc(certificateAuthorities.id));
}

/** The encrypted private key of an agent CA; undefined when the row is gone. */
export async function findAgentCaKey(db: Queryable, id: string): Promise<string | undefined> {
  const [row] = await db
    .select({ keyPemEncrypted: certificateAuthorities.keyPemEncrypted })
    .from(certificateAuthorities)
    .where(eq(certificateAuthorities.id, id));
  return row?.keyPemEncrypted;
}

/**
 * Stores an agent CA as the one that signs; one that is stored already (by fingerprint) becomes active again. Those
 * that were active are soft-deleted, and stay trusted until they expire.
 */
export async function activateAgentCa(tx: Transaction, ca: NewCertificateAuthority): Promise<void> {
  await tx
    .update(certificateAuthorities)
    .set({ deletedAt: sql`now()`, updatedAt: sql`now()` })
    .where(
      and(
        eq(certificateAuthorities.purpose, AGENT_CA),
        isNull(certificateAuthorities.deletedAt),
        ne(certificateAuthorities.fingerprintSha256, ca.fingerprintSha256),
      ),
    );
  await tx
    .insert(certificateAuthorities)
    .values({ id: createId(), purpose: AGENT_CA, ...ca })
    .onConflictDoUpdate({
      target: certificateAuthorities.fingerprintSha256,
      set: { deletedAt: null, updatedAt: sql`now()` },
      setWhere: sql`${certificateAuthorities.deletedAt} is not null`,
    });
}

/** Stops trusting an agent CA, and tells every instance. */
export async function insertRetiredAgentCa(tx: Transaction, fingerprintSha256: string): Promise<void> {
  await tx.insert(retiredAgentCas).values({ fingerprintSha256 }).onConflictDoNothing();
  await tx.execute(sql`select pg_notify('ct_ops_ingest', 'agent_cas')`);
}

/** Whether an operator stopped trusting the agent CA with this fingerprint. */
export async function isAgentCaRetired(db: Queryable, fingerprintSha256: string): Promise<boolean> {
  const rows = await db
    .select({ retiredAt: retiredAgentCas.retiredAt })
    .from(retiredAgentCas)
    .where(eq(retiredAgentCas.fingerprintSha256, fingerprintSha256));
  return rows.length > 0;
}
