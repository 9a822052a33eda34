import { and, desc, eq, gt, isNull } from "drizzle-orm";
import { createId } from "../lib/ids.js";
import type { Queryable } from "./database.js";
import { certificateAuthorities } from "./schema/platform.js";

const AGENT_CA = "agent_ca";

/** A row of an agent CA. */
export type CertificateAuthorityRow = typeof certificateAuthorities.$inferSelect;

/** What is stored of a new agent CA. */
export type NewCertificateAuthority = Pick<
  CertificateAuthorityRow,
  "certPem" | "keyPemEncrypted" | "source" | "fingerprintSha256" | "notBefore" | "notAfter"
>;

/** The agent CA that signs: the newest one that is not deleted. */
export async function findActiveAgentCa(db: Queryable): Promise<CertificateAuthorityRow | undefined> {
  const [row] = await db
    .select()
    .from(certificateAuthorities)
    .where(and(eq(certificateAuthorities.purpose, AGENT_CA), isNull(certificateAuthorities.deletedAt)))
    .orderBy(desc(certificateAuthorities.createdAt), desc(certificateAuthorities.id))
    .limit(1);
  return row;
}

/** The certificates (PEM) of every agent CA that is in date, deleted ones included: their leaves stay good. */
export async function listTrustedAgentCaPems(db: Queryable, now: Date): Promise<string[]> {
  const rows = await db
    .select({ certPem: certificateAuthorities.certPem })
    .from(certificateAuthorities)
    .where(and(eq(certificateAuthorities.purpose, AGENT_CA), gt(certificateAuthorities.notAfter, now)));
  return rows.map(({ certPem }) => certPem);
}

/** Stores an agent CA; one that is stored already (by fingerprint) stays as it is. */
export async function insertAgentCa(db: Queryable, ca: NewCertificateAuthority): Promise<void> {
  await db
    .insert(certificateAuthorities)
    .values({ id: createId(), purpose: AGENT_CA, ...ca })
    .onConflictDoNothing({ target: certificateAuthorities.fingerprintSha256 });
}
