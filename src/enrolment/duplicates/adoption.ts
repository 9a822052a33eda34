import type { SpiffeIdentity } from "../../identity/spiffe-id.js";
import { type AgentStatus, findAgent, insertStatusHistory, renewAgent } from "../../store/agents/agents.js";
import type { Database } from "../../store/database.js";
import { forgetAdoption, insertAdoption, restoreAdopted, takeAdoption } from "../../store/enrolment/adoptions.js";
import type { MatchingHost } from "../../store/enrolment/matching-hosts.js";
import { findHostId, lockHostSoon, reassignHost } from "../../store/hosts/hosts.js";
import type { Transaction } from "../../store/transaction.js";
import { agentOf, type Enrolment, pendingTagsOf } from "../enrolment.js";
import { finishEnrolments, putAgent, reviveAgent } from "../write-enrolment.js";
import { describeMatch } from "./duplicate-refusal.js";

/**
 * Gives a host that is not there any more, and its agent, to a new key. The old key is off the record from then on, and
 * with it the certificates that carry it; until somebody approves, {@link undoAdoption} puts all back. A host without
 * an agent is given a new one. The rows are locked.
 *
 * @param revives whether the agent of a host without one had this key before, and was deleted
 * @param remoteAddress for the history
 * @throws KeyTaken, TokenUnusable: the transaction is to be rolled back
 */
export async function writeAdoption(
  tx: Transaction,
  enrolment: Enrolment,
  host: MatchingHost,
  { revives, remoteAddress }: { revives: boolean; remoteAddress: string },
): Promise<void> {
  const { agentId } = enrolment.identity;
  const { hostId } = host;
  const { hostname, os, osVersion, arch } = enrolment.registration;
  if (host.agent === undefined) {
    await (revives ? reviveAgent(tx, enrolment) : putAgent(tx, enrolment));
  } else {
    if (enrolment.certificate === undefined) await insertAdoption(tx, { agentId, hostId });
    else await forgetAdoption(tx, agentId);
    await renewAgent(tx, agentOf(enrolment));
  }
  await reassignHost(tx, { id: hostId, agentId, hostname, os, osVersion, arch }, pendingTagsOf(enrolment));
  const reason = `claimed by a new key from ${remoteAddress} (${describeMatch(host)})`;
  await finishEnrolments(tx, [{ ...enrolment, hostId, reason }]);
}

/**
 * Undoes an adoption that nobody has approved: the key that was there before is proven again, so somebody claimed a
 * machine that was only away. Agent and host are back as they were.
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
    const hostId = await findHostId(tx, agentId);
    if (hostId === undefined) return false;
    await lockHostSoon(tx, hostId, agentId);
    if ((await findAgent(tx, agentId))?.status !== "pending") return false;
    const before = await takeAdoption(tx, agentId, publicKey);
    if (before === undefined) return false;
    await restoreAdopted(tx, { agentId, hostId }, publicKey, before);
    await insertStatusHistory(tx, [
      {
        agentId,
        organisationId,
        status: before.agent.status as AgentStatus,
        reason: `the claim of another key was undone: the agent's own key registered from ${remoteAddress}`,
      },
    ]);
    return true;
  });
}
