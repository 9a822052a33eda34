import { createHash } from "node:crypto";
import { parseAgentPublicKey } from "../../identity/agent-key.js";
import { type AgentDetails, findAgentDetails } from "../../store/agents/agent-details.js";
import type { Queryable } from "../../store/database.js";
import { listRefusalsOfAgent, type RefusalRow } from "../../store/enrolment/refusals.js";

const REFUSAL_LIMIT = 20;

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
  const refusals = await listRefusalsOfAgent(db, {
    agentId: id,
    publicKey,
    hostname: agent.hostname,
    limit: REFUSAL_LIMIT,
  });
  return {
    agent: { ...shown, publicKeySha256: fingerprint(publicKey) },
    ...rest,
    host: host && toShownHost(host),
    refusals: refusals.map((refusal) => toShownRefusal(refusal, { id, publicKey })),
  };
}

function toShownHost({ metadata, ...host }: NonNullable<AgentDetails["host"]>) {
  const { disks, network_interfaces: networkInterfaces, pendingTags } = metadata ?? {};
  return { ...host, disks: disks ?? [], networkInterfaces: networkInterfaces ?? [], pendingTags: pendingTags ?? [] };
}

function toShownRefusal({ publicKey, ...refusal }: RefusalRow, agent: { id: string; publicKey: string }) {
  const matchedBy = refusal.agentId === agent.id ? "id" : publicKey === agent.publicKey ? "key" : "hostname";
  return { ...refusal, matchedBy } as const;
}

/** SHA-256 of the 32 bytes, in hex; null for a key that cannot be read. */
function fingerprint(publicKeyPem: string): string | null {
  try {
    return createHash("sha256").update(parseAgentPublicKey(publicKeyPem).raw).digest("hex");
  } catch {
    return null;
  }
}
