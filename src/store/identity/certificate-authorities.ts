import { and, desc, eq, inArray, isNull, ne, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { Queryable } from "../database.js";
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

/** What an agent CA is there for: new certificates, those it issued, or nothing any more. */
export type AgentCaState = "signs" | "trusted" | "retired" | "expired";

/** A stored agent CA. */
export interface AgentCaRecord {
  id: string;
  certPem: string;
  fingerprintSha256: string;
  source: string;
  createdAt: Date;
  updatedAt: Date;
  notAfter: Date;
  state: AgentCaState;
}

/** An agent CA whose leaves are good: in date and not retired. One of them signs, or none. */
export type TrustedAgentCa = Pick<AgentCaRecord, "id" | "certPem" | "fingerprintSha256" | "updatedAt" | "state">;

/** Where the row of an agent CA says that an operator stopped trusting it. */
const RETIRED_AT = "retiredAt";
const IS_RETIRED = sql`coalesce(${certificateAuthorities.metadata} ? ${RETIRED_AT}, false)`;
const IS_EXPIRED = sql`${certificateAuthorities.notAfter} <= now()`;

/** The order in which agent CAs are to sign: those that are not deleted first, and of these the newest. */
const signingOrder = (ca: Record<"deletedAt" | "createdAt" | "id", SQLWrapper>): SQL =>
  sql`${ca.deletedAt} desc nulls first, ${ca.createdAt} desc, ${ca.id} desc`;

/** The one place that says which agent CA signs, and which are trusted. */
const STATE = sql<AgentCaState>`case
  when ${IS_RETIRED} then 'retired'
  when ${IS_EXPIRED} then 'expired'
  when ${certificateAuthorities.deletedAt} is null and 1 = row_number() over (
    partition by ${IS_RETIRED} or ${IS_EXPIRED} order by ${signingOrder(certificateAuthorities)}) then 'signs'
  else 'trusted' end`;

const agentCas = (db: Queryable) =>
  db
    .select({
      id: certificateAuthorities.id,
      certPem: certificateAuthorities.certPem,
      fingerprintSha256: certificateAuthorities.fingerprintSha256,
      source: certificateAuthorities.source,
      createdAt: certificateAuthorities.createdAt,
      updatedAt: certificateAuthorities.updatedAt,
      deletedAt: certificateAuthorities.deletedAt,
      notAfter: certificateAuthorities.notAfter,
      state: STATE.as("state"),
    })
    .from(certificateAuthorities)
    .where(eq(certificateAuthorities.purpose, AGENT_CA))
    .as("agent_cas");

/** The agent CAs whose leaves are good, in the order in which they are to sign. */
export async function listTrustedAgentCas(db: Queryable): Promise<TrustedAgentCa[]> {
  const cas = agentCas(db);
  const { id, certPem, fingerprintSha256, updatedAt, state } = cas;
  return db
    .select({ id, certPem, fingerprintSha256, updatedAt, state })
    .from(cas)
    .where(inArray(state, ["signs", "trusted"]))
    .orderBy(signingOrder(cas));
}

/** The agent CA that signs. */
export async function findSigningAgentCa(db: Queryable): Promise<TrustedAgentCa | undefined> {
  return (await listTrustedAgentCas(db)).find(({ state }) => state === "signs");
}

/** Every agent CA there ever was, newest first. */
export async function listAgentCaRecords(db: Queryable): Promise<AgentCaRecord[]> {
  const cas = agentCas(db);
  const { id, certPem, fingerprintSha256, source, createdAt, updatedAt, notAfter, state } = cas;
  return db
    .select({ id, certPem, fingerprintSha256, source, createdAt, updatedAt, notAfter, state })
    .from(cas)
    .orderBy(desc(cas.createdAt), desc(cas.id));
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

/**
 * Stops trusting an agent CA. Its row says so itself, and ends today: so it stays retired when schema `ingest` is dropped
 * on the way back to the earlier service, and for that service, too. Every instance is told by a trigger.
 */
export async function retireAgentCaRow(tx: Transaction, id: string): Promise<void> {
  await tx
    .update(certificateAuthorities)
    .set({
      metadata: sql`coalesce(${certificateAuthorities.metadata}, '{}') || jsonb_build_object(${RETIRED_AT}::text, now())`,
      notAfter: sql`least(${certificateAuthorities.notAfter}, now())`,
      deletedAt: sql`coalesce(${certificateAuthorities.deletedAt}, now())`,
      updatedAt: sql`now()`,
    })
    .where(eq(certificateAuthorities.id, id));
}

/** Whether an operator stopped trusting the agent CA with this fingerprint. */
export async function isAgentCaRetired(db: Queryable, fingerprintSha256: string): Promise<boolean> {
  const rows = await db
    .select({ id: certificateAuthorities.id })
    .from(certificateAuthorities)
    .where(and(eq(certificateAuthorities.fingerprintSha256, fingerprintSha256), IS_RETIRED));
  return rows.length > 0;
}
