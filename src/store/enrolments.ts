import { sql } from "drizzle-orm";
import { createId } from "../lib/ids.js";
import type { AgentStatus } from "./agents.js";
import type { RememberedCertificate } from "./client-certificates.js";
import type { Queryable } from "./database.js";

/** What is recorded beside the rows of an agent and its host when a new key makes or claims them. */
export interface EnrolmentRecord {
  agentId: string;
  organisationId: string;
  identifyingAddresses: readonly string[];
  /** The one that was issued with it. */
  certificate: RememberedCertificate | undefined;
  history: readonly { status: AgentStatus; reason: string }[];
}

/**
 * Records that an agent registered, its history, and its certificate, so that revoking the agent revokes it. One
 * statement, since a registration waits for each in turn.
 */
export async function recordEnrolment(
  tx: Queryable,
  { agentId, organisationId, identifyingAddresses, certificate, history }: EnrolmentRecord,
): Promise<void> {
  // Each value a parameter of its own, of its column's type: the platform may make an enum of the status.
  const lines = history.map(
    ({ status, reason }) => sql`(${createId()}, ${agentId}, ${organisationId}, ${status}, ${reason})`,
  );
  await tx.execute(sql`
    with registered as (
      insert into ingest.agent_registrations (agent_id, identifying_addresses)
      values (${agentId}, ${sql.param(identifyingAddresses)}::text[])
      on conflict (agent_id) do update
        set registered_at = now(), identifying_addresses = excluded.identifying_addresses
    ), remembered as (
      insert into ingest.client_certificates (serial, agent_id, issuer_fingerprint_sha256, not_before, not_after)
      select ${certificate?.serial ?? null}::text, ${agentId}, ${certificate?.issuerFingerprintSha256 ?? null}::text,
             ${certificate?.notBefore ?? null}::timestamptz, ${certificate?.notAfter ?? null}::timestamptz
      where ${certificate !== undefined}
    )
    insert into agent_status_history (id, agent_id, organisation_id, status, reason)
    values ${sql.join(lines, sql`, `)}`);
}
