import { sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import type { RememberedCertificate } from "../identity/client-certificates.js";
import { clientCertificates } from "../schema/ingest/index.js";
import { insertRows } from "../sets/insert-rows.js";
import type { Transaction } from "../transaction.js";
import type { KnownAgent } from "./known-agents.js";

/** What is recorded of a registration. */
export interface RegistrationRecord {
  identifyingAddresses: readonly string[];
  /** Of the connection it came over. */
  remoteAddress: string;
  /** Whether that connection showed a certificate of the agent's own key. */
  showedCertificate: boolean;
}

/** What is recorded beside the rows of an agent and its host when a new key makes them, or takes them over. */
export interface EnrolmentRecord extends RegistrationRecord {
  agentId: string;
  /** The one that was issued with it. */
  certificate: RememberedCertificate | undefined;
}

/** Records that agents registered, and their certificates, so that revoking an agent revokes its own. */
export async function recordEnrolments(tx: Transaction, records: readonly EnrolmentRecord[]): Promise<void> {
  const registered = records.map(({ agentId, identifyingAddresses, remoteAddress, showedCertificate }) => ({
    agent_id: agentId,
    identifying_addresses: identifyingAddresses,
    remote_address: remoteAddress,
    showed_certificate: showedCertificate,
  }));
  const issued = records.flatMap(({ agentId, certificate }) => (certificate ? [{ ...certificate, agentId }] : []));
  await tx.execute(sql`
    with issued as (
      ${insertRows(clientCertificates, ["serial", "agentId", "issuerFingerprintSha256", "notBefore", "notAfter"], issued)}
    )
    insert into ingest.agent_registrations (agent_id, identifying_addresses, remote_address, showed_certificate)
    select * from jsonb_to_recordset(${JSON.stringify(registered)}::jsonb)
      as r(agent_id text, identifying_addresses text[], remote_address text, showed_certificate boolean)
    on conflict (agent_id) do update ${SET_RECORD}`);
}

const SET_RECORD = sql`
  set registered_at = now(), identifying_addresses = excluded.identifying_addresses,
      remote_address = excluded.remote_address, showed_certificate = excluded.showed_certificate`;

/** What is recorded of a registration with a key that is known. */
export interface KnownRegistration extends RegistrationRecord {
  agent: Pick<KnownAgent, "id" | "status">;
  publicKey: string;
}

/**
 * What {@link recordRegistrations} did for one: recorded it; somebody holds the row of the agent; or key or status changed
 * meanwhile, or the agent was deleted.
 */
export type RecordedRegistration = "recorded" | "busy" | "changed";

/**
 * Records that agents registered, those that are still the ones that were looked up: the rows of `agents` are locked
 * while that is decided, so that a key cannot be answered and replaced at the same moment. One that somebody holds is passed
 * over, never waited for: the others would wait as long. A new key that adopted an agent
 * which is no longer pending was approved: that it could be undone is forgotten. So are CSRs that the earlier service left
 * waiting (see `deletePendingCertSignings`).
 *
 * @returns in the order of the registrations
 */
export async function recordRegistrations(
  db: Queryable,
  registrations: readonly KnownRegistration[],
): Promise<RecordedRegistration[]> {
  const asked = registrations.map(({ agent, publicKey, ...record }, nr) => ({
    nr,
    agent_id: agent.id,
    status: agent.status,
    public_key: publicKey,
    identifying_addresses: record.identifyingAddresses,
    remote_address: record.remoteAddress,
    showed_certificate: record.showedCertificate,
  }));
  const { rows } = await db.execute<{ id: string; status: string; public_key: string; is_recorded: boolean }>(sql`
    with asked as (
      -- Of the same registration sent twice the last one counts.
      select distinct on (agent_id, public_key, status) *
      from jsonb_to_recordset(${JSON.stringify(asked)}::jsonb)
        as r(nr int, agent_id text, status text, public_key text, identifying_addresses text[], remote_address text,
             showed_certificate boolean)
      order by agent_id, public_key, status, nr desc
    ), known as materialized (
      select a.id, r.status, r.public_key, r.identifying_addresses, r.remote_address, r.showed_certificate
      from agents a
      join asked r on a.id = r.agent_id and a.public_key = r.public_key and a.status::text = r.status
      where a.deleted_at is null
      order by a.id
      for no key update of a skip locked
    ), approved as (
      delete from ingest.agent_adoptions where agent_id in (select id from known where status <> 'pending')
    ), signings as (
      delete from pending_cert_signings where agent_id in (select id from known)
    ), recorded as (
      insert into ingest.agent_registrations (agent_id, identifying_addresses, remote_address, showed_certificate)
      select id, identifying_addresses, remote_address, showed_certificate from known
      on conflict (agent_id) do update ${SET_RECORD}
    )
    select r.agent_id as id, r.status, r.public_key, k.id is not null as is_recorded
    from asked r
    join agents a on a.id = r.agent_id and a.public_key = r.public_key and a.status::text = r.status
    left join known k on k.id = r.agent_id
    where a.deleted_at is null`);
  const keyOf = (...parts: string[]) => parts.join("\n");
  const found = new Map(
    rows.map((row) => [keyOf(row.id, row.status, row.public_key), row.is_recorded ? "recorded" : "busy"] as const),
  );
  return registrations.map(({ agent, publicKey }) => found.get(keyOf(agent.id, agent.status, publicKey)) ?? "changed");
}

/** Gives what is recorded of an agent's registration to another one, whose key its key becomes. */
export async function moveRegistration(tx: Transaction, from: string, to: string): Promise<void> {
  await tx.execute(sql`
    insert into ingest.agent_registrations
      (agent_id, registered_at, identifying_addresses, remote_address, showed_certificate)
    select ${to}, registered_at, identifying_addresses, remote_address, showed_certificate
    from ingest.agent_registrations where agent_id = ${from}
    on conflict (agent_id) do update
    set registered_at = excluded.registered_at, identifying_addresses = excluded.identifying_addresses,
        remote_address = excluded.remote_address, showed_certificate = excluded.showed_certificate`);
}

/** Takes an agent for one that registered at this moment. */
export async function recordPresence(tx: Transaction, agentId: string): Promise<void> {
  await tx.execute(sql`update ingest.agent_registrations set registered_at = now() where agent_id = ${agentId}`);
}
