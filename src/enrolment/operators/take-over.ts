import { IngestError } from "../../errors.js";
import { recordStatusChanges } from "../../identity/status-changes.js";
import { isSameHostname } from "../../lib/formats/hostname-spellings.js";
import type { Outgoing, PublishingDatabase } from "../../outbox/outbox.js";
import {
  type AgentRow,
  type AgentStatus,
  changeAgentStatus,
  findAgent,
  insertStatusHistory,
  releaseKey,
  renewAgent,
} from "../../store/agents/agents.js";
import { type AddressRemark, forgetAddressRemarks, listAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { forgetAdoption } from "../../store/enrolment/adoptions.js";
import { moveRegistration, recordPresence } from "../../store/enrolment/agent-registrations.js";
import { forgetDeletedKey } from "../../store/enrolment/former-keys.js";
import { findHostState, type HostState } from "../../store/enrolment/host-state.js";
import { findOrganisation } from "../../store/enrolment/organisations.js";
import { keyLock, takeRegistrationLocks } from "../../store/enrolment/registration-locks.js";
import { deleteHostsOfAgent, lockHostOfAgent, lockHostsAndAgents, reassignHost } from "../../store/hosts/hosts.js";
import { linkHostTags } from "../../store/hosts/tags.js";
import { deletePendingCertSignings } from "../../store/identity/pending-cert-signings.js";
import type { Transaction } from "../../store/transaction.js";
import { describeTaken } from "../duplicates/duplicate-refusal.js";
import { whyTaken } from "../duplicates/duplicate-rule.js";
import { mergeTags, readTags } from "../tags.js";
import { refusal } from "./approval.js";
import { type OperatorAct, reasonOf } from "./operator-act.js";

/**
 * Approves a pending agent as a host that its machine has an address in common with, if that one is not there: host and
 * agent go over to the key that waits, as in an adoption that is approved. The host that was made for it is deleted.
 *
 * @param hostName id or hostname of a host that is remarked of the agent
 * @returns the agent that has the key from then on
 * @throws IngestError `operation_refused`
 */
export async function approveAgentAs(
  { database, outbox }: PublishingDatabase,
  agentId: string,
  hostName: string,
  act?: OperatorAct,
): Promise<AgentRow> {
  return outbox.transaction(database, async (tx, outgoing) => {
    const { hostId } = await findRemarked(tx, agentId, hostName);
    const before = await findAgent(tx, agentId);
    // First the locks of registrations, then rows: hosts before agents, as everywhere.
    if (before !== undefined) await takeRegistrationLocks(tx, [keyLock(before.publicKey)]);
    await lockHostsAndAgents(tx, agentId, hostId);
    const own = await lockHostOfAgent(tx, agentId);
    const pending = await findAgent(tx, agentId);
    if (pending?.status !== "pending" || own === undefined) throw await refusal(tx, agentId, "approved");
    const host = await findHostState(tx, hostId);
    if (host === undefined) throw refused(`host ${hostName} does not exist any more`);
    const because = whyTaken(host);
    if (because !== undefined) throw refused(`host ${host.hostname} (${hostId}) ${describeTaken(because)}`);

    const reason = reasonOf(`approved by an operator as host ${host.hostname} (${hostId})`, act);
    const taken = await giveHost(tx, outgoing, { pending, host, osVersion: own.osVersion, reason });
    const organisation = await findOrganisation(tx, pending.organisationId);
    const wanted = mergeTags(readTags(organisation?.metadata?.defaultTags), readTags(own.pendingTags));
    await linkHostTags(tx, [{ organisationId: pending.organisationId, hostId, wanted }]);
    return taken;
  });
}

/** Gives a host and its agent, or the host alone where it has none, to the key of an agent that waits. */
async function giveHost(
  tx: Transaction,
  outgoing: Outgoing,
  {
    pending,
    host,
    osVersion,
    reason,
  }: { pending: AgentRow; host: HostState; osVersion: string | null; reason: string },
): Promise<AgentRow> {
  const { hostId, hostname, agent } = host;
  const { organisationId } = pending;
  const agentId = agent?.id ?? pending.id;
  await deleteHostsOfAgent(tx, pending.id);
  await deletePendingCertSignings(tx, pending.id);
  await forgetAddressRemarks(tx, pending.id);
  await forgetDeletedKey(tx, pending.publicKey);
  const machine = { hostname: pending.hostname, os: pending.os, arch: pending.arch };
  if (agent === undefined) {
    await changeAgentStatus(tx, agentId, { from: ["pending"], to: "active", approved: true });
  } else {
    const { publicKey, version, enrolmentTokenId } = pending;
    await forgetAdoption(tx, agentId);
    await deletePendingCertSignings(tx, agentId);
    await releaseKey(tx, pending.id);
    await renewAgent(tx, {
      ...{ id: agentId, organisationId, ...machine, publicKey, version, enrolmentTokenId },
      status: "active",
      approvedAt: new Date(),
    });
    await moveRegistration(tx, pending.id, agentId);
    const became = `approved by an operator as host ${hostname} (${hostId}): it is agent ${agentId} now`;
    await insertStatusHistory(tx, [{ agentId: pending.id, organisationId, status: "pending", reason: became }]);
  }
  await reassignHost(tx, { id: hostId, agentId, ...machine, osVersion }, []);
  // As if it had registered now: nobody else takes the host before its machine is back.
  await recordPresence(tx, agentId);
  const from = (agent?.status ?? pending.status) as AgentStatus;
  await recordStatusChanges(tx, outgoing, [{ agentId, hostId, organisationId, from, to: "active", reason }]);
  const row = await findAgent(tx, agentId);
  if (row === undefined) throw new Error(`agent ${agentId} was deleted under its lock`);
  return row;
}

async function findRemarked(tx: Transaction, agentId: string, hostName: string): Promise<AddressRemark> {
  const remarks = (await listAddressRemarks(tx, { agentId })).get(agentId) ?? [];
  const byId = remarks.filter(({ hostId }) => hostId === hostName);
  const named = byId.length > 0 ? byId : remarks.filter(({ hostname }) => isSameHostname(hostname, hostName));
  const [found, ...others] = named;
  if (found !== undefined && others.length === 0) return found;
  if (found !== undefined) throw refused(`several hosts are named ${hostName}: name one by its id`);
  if (remarks.length === 0)
    throw await refusal(tx, agentId, `approved as ${hostName}: it waits for no other host's sake`);
  const names = remarks.map(({ hostId, hostname }) => `${hostname} (${hostId})`).join(", ");
  throw refused(`agent ${agentId} has no address in common with a host ${hostName}, but with ${names}`);
}

function refused(why: string): IngestError {
  return new IngestError("operation_refused", why);
}
