import type { Outgoing } from "../../outbox/outbox.js";
import { publishEvents } from "../../outbox/publish-events.js";
import { type AgentStatus, renewAgent } from "../../store/agents/agents.js";
import { forgetAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { forgetAdoption, insertAdoption } from "../../store/enrolment/adoptions.js";
import type { MatchingHost } from "../../store/enrolment/matching-hosts.js";
import { reassignHost } from "../../store/hosts/hosts.js";
import type { Transaction } from "../../store/transaction.js";
import { describeMatch } from "../duplicates/duplicate-refusal.js";
import { agentOf, type Enrolment, pendingTagsOf } from "./enrolment.js";
import { describeEnrolment, finishEnrolments, type PlacedEnrolment, putAgent, reviveAgent } from "./write-enrolment.js";

/**
 * Gives a host that is not there any more, and its agent, to a new key. The old key is off the record from then on, and
 * with it the certificates that carry it; until somebody approves, its next registration puts all back. A host without
 * an agent is given a new one, or the one that had the key before and was deleted. The rows are locked.
 *
 * @throws LookAgain: the transaction is to be rolled back
 */
export async function writeAdoption(
  tx: Transaction,
  outgoing: Outgoing,
  enrolment: Enrolment,
  host: MatchingHost,
): Promise<void> {
  const { agentId } = enrolment.identity;
  const { hostId } = host;
  const { hostname, os, osVersion, arch } = enrolment.key.registration;
  if (host.agent === undefined) {
    await (agentId === enrolment.key.goneId ? reviveAgent(tx, enrolment) : putAgent(tx, enrolment));
  } else {
    if (enrolment.certificate === undefined) await insertAdoption(tx, { agentId, hostId });
    else await forgetAdoption(tx, agentId);
    await forgetAddressRemarks(tx, agentId);
    await renewAgent(tx, agentOf(enrolment));
  }
  await reassignHost(tx, { id: hostId, agentId, hostname, os, osVersion, arch }, pendingTagsOf(enrolment));
  const matched = describeMatch(host);
  const reason = `adopted by a new key from ${enrolment.key.connection.remoteAddress} (${matched})`;
  const from = (host.agent?.status ?? null) as AgentStatus | null;
  const placed: PlacedEnrolment = { ...enrolment, hostId, from, reason };
  await finishEnrolments(tx, outgoing, [placed]);
  publishEvents(outgoing, "agent.adopted", () => [{ ...describeEnrolment(placed), matched }]);
}
