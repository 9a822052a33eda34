import type { SpiffeIdentity } from "../../identity/spiffe-id.js";
import { type AgentStatus, findAgent, insertStatusHistory } from "../../store/agents/agents.js";
import type { Database } from "../../store/database.js";
import { findAdoptedHostId, restoreAdopted, takeAdoption } from "../../store/enrolment/adoptions.js";
import { rememberFormerKey } from "../../store/enrolment/former-keys.js";
import { lockHostSoon } from "../../store/hosts/hosts.js";

/**
 * Undoes an adoption that nobody has approved: the key that was there before registers, so somebody took over a machine
 * that was only away. Agent and host are back as they were. A key that an operator has rejected stays rejected.
 *
 * @returns false when the adoption was approved or undone meanwhile
 */
export async function undoAdoption(
  database: Database,
  { agentId, organisationId }: SpiffeIdentity,
  publicKey: string,
  remoteAddress: string,
): Promise<boolean> {
  return database.transaction(async (tx) => {
    const hostId = await findAdoptedHostId(tx, agentId, publicKey);
    if (hostId === undefined) return false;
    await lockHostSoon(tx, hostId, agentId);
    // Approved in the meantime, or the host went elsewhere.
    if ((await findAdoptedHostId(tx, agentId, publicKey)) !== hostId) return false;
    const adopter = await findAgent(tx, agentId);
    const before = await takeAdoption(tx, { agentId, hostId }, publicKey);
    if (adopter === undefined || before === undefined) return false;
    const isRejected = adopter.status === "revoked";
    if (isRejected) await rememberFormerKey(tx, { publicKey: adopter.publicKey, agentId, fate: "rejected" });
    await restoreAdopted(tx, { agentId, hostId }, publicKey, before);
    await insertStatusHistory(tx, [
      {
        agentId,
        organisationId,
        status: before.agent.status as AgentStatus,
        reason: `its own key registered from ${remoteAddress}: the adoption by another key${isRejected ? ", which was rejected," : ""} is undone`,
      },
    ]);
    return true;
  });
}
