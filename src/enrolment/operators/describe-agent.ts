import type { EventBody } from "../../outbox/publish-events.js";
import type { AgentRow } from "../../store/agents/agents.js";

/** What is published of an agent with what an operator did to it. */
export function describeAgent({ id, organisationId, hostname }: AgentRow): EventBody<"agent.approved"> {
  return { org_id: organisationId, agent_id: id, hostname };
}
