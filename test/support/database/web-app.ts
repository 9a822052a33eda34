/** The web app of the platform, as far as it writes what the service writes too (database contract, "Who else writes here"). */
import { randomBytes } from "node:crypto";
import type pg from "pg";

/** What happens between two steps of the web app. */
type Between = () => Promise<unknown>;

const ACTOR = "9user2kd92mfk20slq8vn4bx";

/**
 * Approves an agent. The host's metadata is read before and written back as a whole.
 *
 * @param beforeWriteBack what happens between that reading and writing
 * @throws Error when an online host has one of the pending host's addresses
 */
export async function approveInWebApp(app: pg.Client, agentId: string, beforeWriteBack?: Between): Promise<void> {
  const { rows: overlaps } = await app.query(
    `select o.hostname from hosts h
     join hosts o on o.organisation_id = h.organisation_id and o.id <> h.id and o.status = 'online'
                 and o.deleted_at is null
     where h.agent_id = $1
       and exists (select from jsonb_array_elements_text(h.ip_addresses) a
                   join jsonb_array_elements_text(o.ip_addresses) b on a = b)`,
    [agentId],
  );
  if (overlaps.length > 0) throw new Error(`refused: ${overlaps[0].hostname} has the same address`);
  await inTransaction(app, async () => {
    const { rows } = await app.query(
      `update agents set status = 'active', approved_by_id = $2, approved_at = now(), updated_at = now()
       where id = $1 and status = 'pending' returning organisation_id`,
      [agentId, ACTOR],
    );
    await insertHistory(app, { agentId, organisationId: rows[0].organisation_id, status: "active" });
  });

  const { rows } = await app.query("select * from hosts where agent_id = $1 and deleted_at is null", [agentId]);
  const { id, organisation_id: organisationId, metadata } = rows[0];
  const { pendingTags = [], ...kept } = metadata ?? { disks: [], network_interfaces: [] };
  await beforeWriteBack?.();
  await app.query("update hosts set metadata = $2, updated_at = now() where id = $1", [
    id,
    { ...kept, collectionSettings: { cpu: true } },
  ]);
  for (const { key, value } of pendingTags) {
    const { rows: made } = await app.query(
      `insert into tags (id, organisation_id, key, value, usage_count) values ($1, $2, $3, $4, 1)
       on conflict (organisation_id, lower(key), lower(value)) do update set usage_count = tags.usage_count + 1
       returning id`,
      [randomId(), organisationId, key, value],
    );
    await app.query(
      `insert into resource_tags (id, organisation_id, resource_id, resource_type, tag_id)
       values ($1, $2, $3, 'host', $4) on conflict do nothing`,
      [randomId(), organisationId, id, made[0].id],
    );
  }
}

/** Rejects an agent. */
export async function rejectInWebApp(app: pg.Client, agentId: string): Promise<void> {
  await inTransaction(app, async () => {
    const { rows } = await app.query(
      `update agents set status = 'revoked', updated_at = now() where id = $1
       returning organisation_id, client_cert_serial`,
      [agentId],
    );
    const [{ organisation_id: organisationId, client_cert_serial: serial }] = rows;
    await insertHistory(app, { agentId, organisationId, status: "revoked" });
    await revokeSerial(app, { organisationId, serial });
  });
}

/** What happens between the steps of {@link deleteHostInWebApp}, all in its transaction. */
export interface DeletionSteps {
  /** The host's row is locked. */
  locked?: Between;
  /** Nothing of host and history is left; the agent is. */
  historyDeleted?: Between;
  /** The agent is deleted too, and nothing committed. */
  agentDeleted?: Between;
}

/** Deletes a host with all that hangs on it, and its agent. */
export async function deleteHostInWebApp(app: pg.Client, hostId: string, steps: DeletionSteps = {}): Promise<void> {
  await inTransaction(app, async () => {
    const { rows } = await app.query(
      `select h.agent_id, h.organisation_id, a.client_cert_serial from hosts h join agents a on a.id = h.agent_id
       where h.id = $1 for update of h`,
      [hostId],
    );
    const [{ agent_id: agentId, organisation_id: organisationId, client_cert_serial: serial }] = rows;
    await steps.locked?.();
    for (const table of [
      "alert_instances",
      "alert_rules",
      "software_packages",
      "software_scans",
      "task_run_hosts",
      "agent_queries",
      "check_results",
      "checks",
      "host_network_memberships",
      "host_metrics",
    ]) {
      await app.query(`delete from ${table} where host_id = $1 and organisation_id = $2`, [hostId, organisationId]);
    }
    await app.query("delete from resource_tags where resource_id = $1 and resource_type = 'host'", [hostId]);
    await app.query("delete from hosts where id = $1", [hostId]);
    await app.query("delete from agent_status_history where agent_id = $1", [agentId]);
    await steps.historyDeleted?.();
    await app.query("delete from agents where id = $1", [agentId]);
    await steps.agentDeleted?.();
    await revokeSerial(app, { organisationId, serial });
  });
}

/** Makes an enum of the status of agents, as a later migration of the web app might. */
export async function makeStatusAnEnum(app: pg.Client): Promise<void> {
  await app.query(`
    create type agent_status as enum ('pending', 'active', 'offline', 'revoked');
    alter table agents alter column status drop default;
    alter table agents alter column status type agent_status using status::agent_status;
    alter table agents alter column status set default 'pending';
    alter table agent_status_history alter column status type agent_status using status::agent_status`);
}

async function insertHistory(
  app: pg.Client,
  { agentId, organisationId, status }: { agentId: string; organisationId: string; status: string },
): Promise<void> {
  await app.query(
    `insert into agent_status_history (id, agent_id, organisation_id, status, actor_id, reason)
     values ($1, $2, $3, $4, $5, 'by an administrator')`,
    [randomId(), agentId, organisationId, status, ACTOR],
  );
}

async function revokeSerial(
  app: pg.Client,
  { organisationId, serial }: { organisationId: string; serial: string | null },
): Promise<void> {
  if (serial === null) return;
  await app.query(
    "insert into revoked_certificates (id, organisation_id, serial) values ($1, $2, $3) on conflict do nothing",
    [randomId(), organisationId, serial],
  );
}

async function inTransaction(app: pg.Client, work: () => Promise<void>): Promise<void> {
  await app.query("begin");
  try {
    await work();
    await app.query("commit");
  } catch (error) {
    await app.query("rollback");
    throw error;
  }
}

function randomId(): string {
  return randomBytes(12).toString("hex");
}
