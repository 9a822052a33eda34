import { IngestError } from "../../errors.js";
import { type AgentRow, type AgentStatus, findAgent, insertStatusHistory } from "../../store/agents/agents.js";
import type { Database } from "../../store/database.js";
import { lockHostOfAgent } from "../../store/hosts/hosts.js";
import { endContest } from "../../store/sessions/contests.js";
import { type OperatorAct, reasonOf } from "./operator-act.js";

/**
 * Lets an agent in again that two machines seemed to have the identity of, and forgets the suspicion. If there still are
 * two, it comes back.
 *
 * @throws IngestError `operation_refused`
 */
export async function unlockAgent(database: Database, agentId: string, act?: OperatorAct): Promise<AgentRow> {
  return database.transaction(async (tx) => {
    await lockHostOfAgent(tx, agentId);
    const agent = await findAgent(tx, agentId);
    if (agent === undefined) throw new IngestError("operation_refused", `agent ${agentId} does not exist`);
    if (!(await endContest(tx, agentId))) {
      throw new IngestError("operation_refused", `agent ${agentId} is not locked, and no clone of it is suspected`);
    }
    const { organisationId, status } = agent;
    await insertStatusHistory(tx, [
      { agentId, organisationId, status: status as AgentStatus, reason: reasonOf("unlocked by an operator", act) },
    ]);
    return agent;
  });
}
