import { issueAccessToken } from "../identity/access-token.js";
import type { AgentCa } from "../identity/agent-ca.js";
import type { AgentPublicKey } from "../identity/agent-key.js";
import { type IssuedCertificate, issueClientCertificate } from "../identity/client-certificate.js";
import type { SigningKeys } from "../identity/signing-keys.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";
import type { RegistrationResult } from "./registration-result.js";

/** A new client certificate, and the CA that signed it. */
export interface SignedCertificate {
  certificate: IssuedCertificate;
  agentCaCertificatePem: string;
}

/** Makes what an active agent receives. */
export class IdentityIssuer {
  constructor(private readonly options: { agentCa: AgentCa; signingKeys: SigningKeys }) {}

  /** Signs a client certificate; whoever asks for it puts it on record. */
  async signCertificate(identity: SpiffeIdentity, publicKey: AgentPublicKey): Promise<SignedCertificate> {
    const ca = this.options.agentCa.current;
    const certificate = await issueClientCertificate(ca, identity, publicKey);
    return { certificate, agentCaCertificatePem: ca.certificatePem };
  }

  /** The answer to an active agent: this certificate, and a new JWT. */
  async answerActive(
    identity: SpiffeIdentity,
    { certificate, agentCaCertificatePem }: SignedCertificate,
  ): Promise<RegistrationResult> {
    const accessToken = await issueAccessToken(this.options.signingKeys, identity);
    return { status: "active", agentId: identity.agentId, accessToken, certificate, agentCaCertificatePem };
  }
}
