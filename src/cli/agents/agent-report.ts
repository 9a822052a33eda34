import { createHash } from "node:crypto";
import { parseAgentPublicKey } from "../../identity/agent-key.js";
import { type AgentDetails, findAgentDetails } from "../../store/agents/agent-details.js";
import type { Queryable } from "../../store/database.js";
import { listAddressRemarks } from "../../store/enrolment/address-remarks.js";
import { listReturnedAgents } from "../../store/enrolment/former-keys.js";
import { listRefusalsOfAgent, type RefusalRow, type RefusedAgent } from "../../store/enrolment/refusals.js";
import { findPresences } from "../../store/sessions/agent-presence.js";
import { listHostChecks } from "../../store/work/checks.js";
import { listOpenItems } from "../../store/work/open-items.js";

/** Open queries and tasks that are shown. */
const MAX_OPEN_ITEMS = 100;
const REFUSAL_LIMITS = { proven: 20, said: 10 };

/** What `agent show` tells. */
export type AgentReport = Awaited<ReturnType<typeof readAgentReport>>;

/**
 * Reads all that may be shown of an agent: neither tokens nor keys, nor what others keep in metadata.
 *
 * @throws Error when there is no such agent
 */
export async function readAgentReport(db: Queryable, id: string) {
  const details = await findAgentDetails(db, id);
  if (details === undefined) throw new Error(`no agent has the id ${id}`);
  const { agent, host, ...rest } = details;
  const { publicKey, clientCertPem: _, metadata: __, ...shown } = agent;
  const refused = {
    agentId: id,
    publicKey,
    serials: details.certificates.map(({ serial }) => serial),
    hostname: agent.hostname,
  };
  const refusals = await listRefusalsOfAgent(db, refused, REFUSAL_LIMITS);
  const presence = (await findPresences(db, [id])).get(id);
  return {
    agent: { ...shown, publicKeySha256: fingerprint(publicKey) },
    ...rest,
    session: presence?.session ?? null,
    suspectedClone: presence?.suspectedClone ?? null,
    sameAddressAs: (await listAddressRemarks(db, { agentId: id })).get(id) ?? [],
    deletedBefore: (await listReturnedAgents(db, [id])).get(id) ?? null,
    host: host && toShownHost(host),
    checks: host === undefined ? [] : await listHostChecks(db, { ...host, hostId: host.id }),
    openWork: host === undefined ? [] : await listOpenItems(db, { hostId: host.id, limit: MAX_OPEN_ITEMS }),
    refusals: refusals.map((refusal) => toShownRefusal(refusal, refused)),
  };
}

function toShownHost({ metadata, ...host }: NonNullable<AgentDetails["host"]>) {
  const { disks, network_interfaces: networkInterfaces, pendingTags } = metadata ?? {};
  return { ...host, disks: disks ?? [], networkInterfaces: networkInterfaces ?? [], pendingTags: pendingTags ?? [] };
}

function toShownRefusal({ publicKey, share: _, ...refusal }: RefusalRow, agent: RefusedAgent) {
  return { ...refusal, matchedBy: matchOf({ publicKey, ...refusal }, agent) };
}

/** By id and by key it is the agent; by serial number and by hostname somebody who says so. */
function matchOf(refusal: Omit<RefusalRow, "share">, agent: RefusedAgent): "id" | "key" | "serial" | "hostname" {
  if (refusal.agentId === agent.agentId) return "id";
  if (refusal.publicKey === agent.publicKey) return "key";
  return refusal.certificateSerial !== null && agent.serials.includes(refusal.certificateSerial)
    ? "serial"
    : "hostname";
}

/** SHA-256 of the 32 bytes, in hex; null for a key that cannot be read. */
function fingerprint(publicKeyPem: string): string | null {
  try {
    return createHash("sha256").update(parseAgentPublicKey(publicKeyPem).raw).digest("hex");
  } catch {
    return null;
  }
}
