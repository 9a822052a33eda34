const TRUST_DOMAIN = "ct-ops";
/** The SPIFFE standard has it so, and nothing that the service issues comes near it. */
const MAX_LENGTH = 2048;
const PATTERN = new RegExp(`^spiffe://${TRUST_DOMAIN}/org/([^/]+)/agent/([^/]+)$`);

/** Who a client certificate names. */
export interface SpiffeIdentity {
  organisationId: string;
  agentId: string;
}

/** The SPIFFE id in an agent's client certificate (wire contract, "Tokens and certificates"). */
export function formatSpiffeId({ organisationId, agentId }: SpiffeIdentity): string {
  return `spiffe://${TRUST_DOMAIN}/org/${encodeURIComponent(organisationId)}/agent/${encodeURIComponent(agentId)}`;
}

/** Reads what {@link formatSpiffeId} wrote; undefined for anything else, also for another spelling of the same id. */
export function parseSpiffeId(uri: string): SpiffeIdentity | undefined {
  if (uri.length > MAX_LENGTH) return undefined;
  const [, organisation, agent] = PATTERN.exec(uri) ?? [];
  if (organisation === undefined || agent === undefined) return undefined;
  try {
    const identity = { organisationId: decodeURIComponent(organisation), agentId: decodeURIComponent(agent) };
    const isPlain = isPlainId(identity.organisationId) && isPlainId(identity.agentId);
    return isPlain && formatSpiffeId(identity) === uri ? identity : undefined;
  } catch {
    return undefined;
  }
}

/** Neither a path of its own, nor one that a normalisation would take away, nor what PostgreSQL cannot hold. */
function isPlainId(id: string): boolean {
  return !/[/\0]/.test(id) && id !== "." && id !== "..";
}
