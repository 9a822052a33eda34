import { sql } from "drizzle-orm";
import type { RememberedCertificate } from "./client-certificates.js";
import type { Queryable } from "./database.js";
import { clientCertificates } from "./schema/ingest.js";

/** What is recorded beside the rows of an agent and its host when a new key makes or claims them. */
export interface EnrolmentRecord {
  agentId: string;
  identifyingAddresses: readonly string[];
  /** The one that was issued with it. */
  certificate: RememberedCertificate | undefined;
}

/** Records that agents registered, and their certificates, so that revoking an agent revokes its own. */
export async function recordEnrolments(tx: Queryable, records: readonly EnrolmentRecord[]): Promise<void> {
  const registered = records.map(({ agentId, identifyingAddresses }) => ({
    agent_id: agentId,
    identifying_addresses: identifyingAddresses,
  }));
  await tx.execute(sql`
    insert into ingest.agent_registrations (agent_id, identifying_addresses)
    select * from jsonb_to_recordset(${JSON.stringify(registered)}::jsonb)
      as r(agent_id text, identifying_addresses text[])
    on conflict (agent_id) do update
      set registered_at = now(), identifying_addresses = excluded.identifying_addresses`);
  const issued = records.flatMap(({ agentId, certificate }) => {
    if (certificate === undefined) return [];
    const { serial, issuerFingerprintSha256, notBefore, notAfter } = certificate;
    return [{ serial, agentId, issuerFingerprintSha256, notBefore, notAfter }];
  });
  if (issued.length > 0) await tx.insert(clientCertificates).values(issued);
}
