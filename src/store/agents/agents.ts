import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import { createId } from "../../lib/ids.js";
import type { Queryable } from "../database.js";
import { agents } from "../schema/platform/index.js";
import { insertRows } from "../sets/insert-rows.js";
import type { Transaction } from "../transaction.js";

/** The states of an agent (database contract, `agents.status`). */
export const AGENT_STATUSES = ["pending", "active", "offline", "revoked"] as const;

/** One of {@link AGENT_STATUSES}. */
export type AgentStatus = (typeof AGENT_STATUSES)[number];

/** A row of `agents`. */
export type AgentRow = typeof agents.$inferSelect;

/** What is needed of a caller's row to decide whether it may call. */
export interface CallerRecord {
  organisationId: string;
  publicKey: string;
  status: string;
  hostId: string;
  hostname: string;
  certificateRevoked: boolean;
  /** Whether the certificate is among those that revoking the agent revokes. */
  certificateRemembered: boolean;
  /** Nobody is let in with its identity for now. */
  isLocked: boolean;
}

/**
 * What is on record of calling agents, in one statement; undefined for one that, or whose host, does not exist or is
 * deleted.
 *
 * @returns in the order of the callers
 */
export async function findCallerRecords(
  db: Queryable,
  callers: readonly { agentId: string; serial: string }[],
): Promise<(CallerRecord | undefined)[]> {
  const { rows } = await db.execute<{
    index: string;
    organisation_id: string;
    public_key: string;
    status: string;
    host_id: string;
    hostname: string;
    certificate_revoked: boolean;
    certificate_remembered: boolean;
    is_locked: boolean;
  }>(sql`
    select w.index, a.organisation_id, a.public_key, a.status, h.id as host_id, h.hostname,
           exists (select from revoked_certificates r where r.serial = w.serial) as certificate_revoked,
           exists (select from ingest.client_certificates c where c.serial = w.serial) as certificate_remembered,
           exists (select from ingest.contested_agents l where l.agent_id = a.id and l.locked_at is not null) as is_locked
    from unnest(
      ${sql.param(callers.map(({ agentId }) => agentId))}::text[], ${sql.param(callers.map(({ serial }) => serial))}::text[]
    ) with ordinality as w(agent_id, serial, index)
    join agents a on a.id = w.agent_id and a.deleted_at is null
    cross join lateral (
      select id, hostname from hosts where agent_id = a.id and deleted_at is null order by created_at, id limit 1
    ) h`);
  // ordinality counts from 1
  const found = new Map(rows.map((row) => [Number(row.index) - 1, row]));
  return callers.map((_, index) => {
    const row = found.get(index);
    return (
      row && {
        organisationId: row.organisation_id,
        publicKey: row.public_key,
        status: row.status,
        hostId: row.host_id,
        hostname: row.hostname,
        certificateRevoked: row.certificate_revoked,
        certificateRemembered: row.certificate_remembered,
        isLocked: row.is_locked,
      }
    );
  });
}

/** What is stored of a new agent. */
export type NewAgent = Pick<
  typeof agents.$inferInsert,
  | "id"
  | "organisationId"
  | "hostname"
  | "publicKey"
  | "version"
  | "os"
  | "arch"
  | "enrolmentTokenId"
  | "approvedAt"
  | "clientCertPem"
  | "clientCertSerial"
  | "clientCertIssuedAt"
  | "clientCertNotAfter"
> & { status: AgentStatus };

/** Stores new agents, and returns the ids of those it stored: the public key of the others is known already. */
export async function insertAgents(tx: Transaction, newAgents: readonly NewAgent[]): Promise<Set<string>> {
  const { rows } = await tx.execute<{ id: string }>(sql`
    ${insertRows(agents, INSERTED_COLUMNS, newAgents)} on conflict (public_key) do nothing returning id`);
  return new Set(rows.map(({ id }) => id));
}

const INSERTED_COLUMNS = [
  "id",
  "organisationId",
  "hostname",
  "publicKey",
  "status",
  "version",
  "os",
  "arch",
  "enrolmentTokenId",
  "approvedAt",
  "clientCertPem",
  "clientCertSerial",
  "clientCertIssuedAt",
  "clientCertNotAfter",
] as const satisfies readonly (keyof NewAgent)[];

/** Makes an agent a new one under its old id, whether it was deleted or another key takes it over. */
export async function renewAgent(tx: Transaction, { id, ...agent }: NewAgent): Promise<void> {
  await tx
    .update(agents)
    .set({ ...NEW_AGENT, ...agent, updatedAt: sql`now()` })
    .where(eq(agents.id, id));
}

const NEW_AGENT = {
  deletedAt: null,
  approvedById: null,
  approvedAt: null,
  clientCertPem: null,
  clientCertSerial: null,
  clientCertIssuedAt: null,
  clientCertNotAfter: null,
};

/** Deletes an agent for good and frees its key, which is unique over deleted agents too. */
export async function releaseKey(tx: Transaction, agentId: string): Promise<void> {
  await tx
    .update(agents)
    .set({
      publicKey: sql`'released by deleted agent ' || ${agents.id} || ' at ' || now() || e'\n' || ${agents.publicKey}`,
      deletedAt: sql`coalesce(${agents.deletedAt}, now())`,
      updatedAt: sql`now()`,
    })
    .where(eq(agents.id, agentId));
}

/** The columns of `agents` that hold the newest client certificate. */
export interface StoredCertificate {
  pem: string;
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** The certificate as the columns of `agents`. */
export function certificateColumns({ pem, serial, notBefore, notAfter }: StoredCertificate) {
  return {
    clientCertPem: pem,
    clientCertSerial: serial,
    clientCertIssuedAt: notBefore,
    clientCertNotAfter: notAfter,
  };
}

/** A line of an agent's history. */
export interface StatusChange {
  agentId: string;
  organisationId: string;
  status: AgentStatus;
  reason: string;
}

/**
 * Appends to the history of agents. The times are the database's at this moment, not the transaction's: those of one agent
 * are in the order in which its row was locked.
 *
 * @returns id and time of each line, in their order
 */
export async function insertStatusHistory(
  tx: Transaction,
  changes: readonly StatusChange[],
): Promise<{ id: string; createdAt: Date }[]> {
  if (changes.length === 0) return [];
  const lines = changes.map(({ agentId, organisationId, status, reason }) => ({
    id: createId(),
    agent_id: agentId,
    organisation_id: organisationId,
    status,
    reason,
  }));
  const { rows } = await tx.execute<{ id: string; created_at: string }>(sql`
    insert into agent_status_history (id, agent_id, organisation_id, status, reason, created_at)
    select id, agent_id, organisation_id, status, reason, clock_timestamp()
    from jsonb_populate_recordset(null::agent_status_history, ${JSON.stringify(lines)}::jsonb)
    returning id, created_at`);
  return rows.map(({ id, created_at }) => ({ id, createdAt: new Date(created_at) }));
}

/**
 * Moves an agent from one of some states to another.
 *
 * @returns its row, and the state it was in; undefined when it is in none of them
 */
export async function changeAgentStatus(
  tx: Transaction,
  agentId: string,
  { from, to, approved = false }: { from: readonly AgentStatus[]; to: AgentStatus; approved?: boolean },
): Promise<{ agent: AgentRow; before: AgentStatus } | undefined> {
  const isMovable = and(eq(agents.id, agentId), inArray(agents.status, [...from]), isNull(agents.deletedAt));
  const [before] = await tx.select({ status: agents.status }).from(agents).where(isMovable).for("no key update");
  if (before === undefined) return undefined;
  const [agent] = await tx
    .update(agents)
    .set({ status: to, updatedAt: sql`now()`, ...(approved && { approvedAt: sql`now()` }) })
    .where(eq(agents.id, agentId))
    .returning();
  return agent && { agent, before: before.status as AgentStatus };
}

/** The agent with this id, if it is not deleted. */
export async function findAgent(db: Queryable, agentId: string): Promise<AgentRow | undefined> {
  const [row] = await db
    .select()
    .from(agents)
    .where(and(eq(agents.id, agentId), isNull(agents.deletedAt)));
  return row;
}

/** The agent with this id, deleted or not. */
export async function findAgentOrDeleted(db: Queryable, agentId: string): Promise<AgentRow | undefined> {
  const [row] = await db.select().from(agents).where(eq(agents.id, agentId));
  return row;
}
