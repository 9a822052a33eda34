const TRUST_DOMAIN = "ct-ops";
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
  const [, organisation, agent] = PATTERN.exec(uri) ?? [];
  if (organisation === undefined || agent === undefined) return undefined;
  try {
    const identity = { organisationId: decodeURIComponent(organisation), agentId: decodeURIComponent(agent) };
    return formatSpiffeId(identity) === uri && !`${identity.organisationId}${identity.agentId}`.includes("/")
      ? identity
      : undefined;
  } catch {
    return undefined;
  }
}
