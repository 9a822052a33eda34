import type { TestDatabase } from "./database.js";

/** Deletes the host of an agent, and the agent, as the web app does: in one transaction, hosts first. */
export async function deleteHost({ query }: TestDatabase, agentId: string): Promise<void> {
  await query(`
    begin;
    select from hosts where agent_id = '${agentId}' for update;
    delete from resource_tags where resource_id in (select id from hosts where agent_id = '${agentId}');
    delete from host_metrics where host_id in (select id from hosts where agent_id = '${agentId}');
    delete from host_network_memberships where host_id in (select id from hosts where agent_id = '${agentId}');
    delete from hosts where agent_id = '${agentId}';
    delete from agent_status_history where agent_id = '${agentId}';
    insert into revoked_certificates (id, organisation_id, serial)
      select 'deleted', organisation_id, client_cert_serial from agents where id = '${agentId}';
    delete from agents where id = '${agentId}';
    commit;`);
}
