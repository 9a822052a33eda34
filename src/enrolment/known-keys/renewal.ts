import { agentNotAllowed, agentNotFound, IngestError } from "../../errors.js";
import { type AgentPublicKey, isStoredKey, parseAgentPublicKey } from "../../identity/agent-key.js";
import type { Caller } from "../../identity/caller.js";
import type {
  ClientCertificates,
  ObtainedCertificate,
} from "../../identity/client-certificates/client-certificates.js";
import { requirePossession } from "../../identity/csr.js";
import { findAgent } from "../../store/agents/agents.js";
import type { Queryable } from "../../store/database.js";
import type { EnrolmentEvents } from "../events.js";

/** A renewal as it came over the wire. */
export interface RenewalRequest {
  agentId: string;
  csrDer: Uint8Array;
}

/** Gives a calling agent the certificate to go on with. The one it called with stays good until it expires. */
export class CertificateRenewal {
  constructor(
    private readonly options: { db: Queryable; clientCertificates: ClientCertificates; events: EnrolmentEvents },
  ) {}

  /** @throws IngestError `identity_mismatch`, `invalid_field`, `agent_not_found`, `agent_not_allowed` */
  async renew(caller: Caller, request: RenewalRequest): Promise<ObtainedCertificate> {
    const { agentId, organisationId, hostname, call } = caller;
    if (request.agentId !== agentId) {
      throw new IngestError("identity_mismatch", "agent_id names another agent than the client certificate");
    }
    const publicKey = parseAgentPublicKey(caller.publicKey);
    await requirePossession(request.csrDer, publicKey);
    const { clientCertificates, events } = this.options;
    const certificate = await clientCertificates.obtain(
      { agentId, organisationId, hostname },
      publicKey,
      "certificate.renewed",
    );
    if (certificate === undefined) throw await this.#refusal(agentId, publicKey);
    const { serial, isNew } = certificate;
    events.certificateRenewed({ agentId, organisationId, hostname, serial, newCertificate: isNew, ...call });
    return certificate;
  }

  /** Why the agent, which was good a moment ago, may not have one: in the order of `identity/standing.ts`. */
  async #refusal(agentId: string, publicKey: AgentPublicKey): Promise<IngestError> {
    const agent = await findAgent(this.options.db, agentId);
    if (agent === undefined) return agentNotFound(agentId);
    return isStoredKey(agent.publicKey, publicKey)
      ? agentNotAllowed(agentId, agent.status)
      : new IngestError("identity_mismatch", "the key on record of this agent was replaced", { agentId });
  }
}
