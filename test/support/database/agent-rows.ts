import type { TestDatabase } from "./database.js";

/** What stands in the tables of an agent that a test made without a service. */
export interface AgentRows {
  agentId: string;
  hostId: string;
  organisationId: string;
}

/** Makes an organisation, and active agents with a host each, named `agent-1` and `host-1` and so on. */
export async function insertAgentRows({ query }: TestDatabase, count: number): Promise<AgentRows[]> {
  const organisationId = "organisation";
  await query(
    `with o as (insert into organisations (id, name, slug) values ('${organisationId}', 'Test', 'test') returning id), a as (
       insert into agents (id, organisation_id, hostname, public_key, status)
       select 'agent-' || i, o.id, 'web-' || i, 'key ' || i, 'active' from o, generate_series(1, $1) i
       returning id, organisation_id, hostname
     )
     insert into hosts (id, organisation_id, agent_id, hostname)
     select 'host-' || substr(id, 7), organisation_id, id, hostname from a`,
    [count],
  );
  return Array.from({ length: count }, (_, i) => ({
    agentId: `agent-${i + 1}`,
    hostId: `host-${i + 1}`,
    organisationId,
  }));
}
