import { and, eq, sql } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { withPendingTags } from "../hosts/hosts.js";
import { agentAdoptions } from "../schema/ingest/index.js";
import { agents, hosts } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

/** An agent and its host. */
export interface AgentAndHost {
  agentId: string;
  hostId: string;
}

/**
 * The adoptions `c` of agents `a` that can be undone: nobody has approved them. Of an agent that is revoked without ever
 * having been approved an operator rejected the new key.
 */
export const UNDOABLE = sql`(a.deleted_at is null
  and (a.status::text = 'pending' or a.status::text = 'revoked' and a.approved_at is null))`;

/** What undoing an adoption puts back: times as PostgreSQL writes them, since a Date would round them. */
export interface BeforeAdoption {
  agent: {
    hostname: string;
    status: string;
    version: string | null;
    os: string | null;
    arch: string | null;
    approvedById: string | null;
    approvedAt: string | null;
    enrolmentTokenId: string | null;
    clientCertPem: string | null;
    clientCertSerial: string | null;
    clientCertIssuedAt: string | null;
    clientCertNotAfter: string | null;
  };
  host: {
    hostname: string;
    os: string | null;
    osVersion: string | null;
    arch: string | null;
    ipAddresses: string[] | null;
    pendingTags: unknown;
  };
}

/** Remembers an agent and its host as they are, before a new key takes them; both are locked. */
export async function insertAdoption(tx: Transaction, { agentId, hostId }: AgentAndHost): Promise<void> {
  // What is left of earlier ones is over: their agents were approved.
  await tx.execute(sql`
    delete from ingest.agent_adoptions
    where agent_id = ${agentId} or previous_public_key = (select public_key from agents where id = ${agentId})`);
  await tx.execute(sql`
    insert into ingest.agent_adoptions
      (agent_id, host_id, previous_public_key, previous_hostname, previous_addresses, previous)
    select a.id, h.id, a.public_key, h.hostname,
      case jsonb_typeof(h.ip_addresses)
        when 'array' then array(select jsonb_array_elements_text(h.ip_addresses))
        else coalesce(r.identifying_addresses, '{}') end,
      jsonb_build_object(
      'agent', jsonb_build_object(
        'hostname', a.hostname, 'status', a.status, 'version', a.version, 'os', a.os, 'arch', a.arch,
        'approvedById', a.approved_by_id, 'approvedAt', a.approved_at, 'enrolmentTokenId', a.enrolment_token_id,
        'clientCertPem', a.client_cert_pem, 'clientCertSerial', a.client_cert_serial,
        'clientCertIssuedAt', a.client_cert_issued_at, 'clientCertNotAfter', a.client_cert_not_after),
      'host', jsonb_build_object(
        'hostname', h.hostname, 'os', h.os, 'osVersion', h.os_version, 'arch', h.arch,
        'ipAddresses', h.ip_addresses, 'pendingTags', h.metadata -> 'pendingTags'))
    from agents a left join ingest.agent_registrations r on r.agent_id = a.id, hosts h
    where a.id = ${agentId} and h.id = ${hostId}`);
}

/** The host that went over with an agent that had this key before; undefined when there is nothing to undo. */
export async function findAdoptedHostId(
  db: Queryable,
  agentId: string,
  previousKey: string,
): Promise<string | undefined> {
  const { rows } = await db.execute<{ host_id: string }>(sql`
    select c.host_id from ingest.agent_adoptions c join agents a on a.id = c.agent_id
    where c.agent_id = ${agentId} and c.previous_public_key = ${previousKey} and ${UNDOABLE}`);
  return rows[0]?.host_id;
}

/** Takes an adoption off the record and returns what it put aside; undefined when there is none of this key. */
export async function takeAdoption(
  tx: Transaction,
  { agentId, hostId }: AgentAndHost,
  previousKey: string,
): Promise<BeforeAdoption | undefined> {
  const { rows } = await tx.execute<{ previous: BeforeAdoption }>(sql`
    delete from ingest.agent_adoptions
    where agent_id = ${agentId} and host_id = ${hostId} and previous_public_key = ${previousKey}
    returning previous`);
  return rows[0]?.previous;
}

/** Puts an agent and its host, both locked, back as they were, with the key the agent had. */
export async function restoreAdopted(
  tx: Transaction,
  { agentId, hostId }: AgentAndHost,
  publicKey: string,
  { agent, host }: BeforeAdoption,
): Promise<void> {
  const time = (value: string | null) => sql`${value}::timestamptz`;
  await tx
    .update(agents)
    .set({
      ...agent,
      publicKey,
      approvedAt: time(agent.approvedAt),
      clientCertIssuedAt: time(agent.clientCertIssuedAt),
      clientCertNotAfter: time(agent.clientCertNotAfter),
      updatedAt: sql`now()`,
    })
    .where(eq(agents.id, agentId));
  const { pendingTags, ...columns } = host;
  await tx
    .update(hosts)
    .set({ ...columns, metadata: withPendingTags(pendingTags), updatedAt: sql`now()` })
    .where(eq(hosts.id, hostId));
}

/** Whether an agent's adoption waits to be approved, or was rejected. */
export async function isAdopted(tx: Transaction, agentId: string): Promise<boolean> {
  const rows = await tx
    .select({ one: sql`1` })
    .from(agentAdoptions)
    .where(and(eq(agentAdoptions.agentId, agentId)));
  return rows.length > 0;
}

/** Makes an adoption final: it was approved, or its agent was revoked for good or deleted. */
export async function forgetAdoption(tx: Transaction, agentId: string): Promise<void> {
  await tx.delete(agentAdoptions).where(eq(agentAdoptions.agentId, agentId));
}
