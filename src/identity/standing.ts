import { agentLocked, agentNotAllowed, agentNotFound, IngestError } from "../errors.js";
import { mayCall } from "../store/agents/calling-statuses.js";

/** What the database says of an agent, beside the client certificate that somebody presents as that agent. */
export interface Standing {
  /** Null when the agent, or its host, is deleted. */
  status: string | null;
  /** Whether the certificate names the organisation on record. */
  organisationAgrees: boolean;
  /** Whether the certificate carries the key on record. */
  keyAgrees: boolean;
  certificateRevoked: boolean;
  /** Whether nobody is let in with its identity for now. */
  isLocked: boolean;
}

/**
 * Why an agent may not call, or not go on with its stream; undefined when it may. There is one order, so that a call and
 * a stream are answered alike: who has another key is not the agent, and is not told how the agent stands; an agent that
 * was revoked is told so, although its certificate was revoked with it.
 */
export function findObjection(agentId: string, standing: Standing): IngestError | undefined {
  const { status, organisationAgrees, keyAgrees, certificateRevoked, isLocked } = standing;
  const mismatch = (what: string) =>
    new IngestError("identity_mismatch", `the client certificate ${what}`, { agentId });
  if (status === null) return agentNotFound(agentId);
  if (!organisationAgrees) return mismatch("names another organisation than the agent's");
  if (!keyAgrees) return mismatch("carries another key than the one on record");
  if (!mayCall(status)) return agentNotAllowed(agentId, status);
  if (certificateRevoked) {
    return new IngestError("client_certificate_invalid", "the client certificate was revoked; register again", {
      reason: "client_certificate_revoked",
      agentId,
    });
  }
  return isLocked ? agentLocked(agentId) : undefined;
}
