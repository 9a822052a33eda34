import type { SpiffeIdentity } from "../../identity/spiffe-id.js";
import { recordStatusChanges } from "../../identity/status-changes.js";
import type { PublishingDatabase } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import { type AgentStatus, findAgent } from "../../store/agents/agents.js";
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
  { database, outbox }: PublishingDatabase,
  { agentId, organisationId }: SpiffeIdentity,
  publicKey: string,
  remoteAddress: string,
): Promise<boolean> {
  return outbox.transaction(database, async (tx, outgoing) => {
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
    await recordStatusChanges(tx, outgoing, [
      {
        agentId,
        hostId,
        organisationId,
        from: adopter.status as AgentStatus,
        to: before.agent.status as AgentStatus,
        reason: `its own key registered from ${remoteAddress}: the adoption by another key${isRejected ? ", which was rejected," : ""} is undone`,
      },
    ]);
    publishEvents(outgoing, "agent.adoption_undone", () => [
      { org_id: organisationId, agent_id: agentId, hostname: adopter.hostname },
    ]);
    return true;
  });
}
