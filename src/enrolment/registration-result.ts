import type { AgentPublicKey } from "../identity/agent-key.js";
import type { IssuedCertificate } from "../identity/client-certificates/issue-client-certificate.js";
import { issueAccessToken } from "../identity/signing-keys/access-token.js";
import type { SigningKeyRing } from "../identity/signing-keys/signing-key-ring.js";
import type { SpiffeIdentity } from "../identity/spiffe-id.js";

type GivenCertificate = Pick<IssuedCertificate, "pem" | "notAfter" | "agentCaCertificatePem">;

/** What `Register` answers. */
export type RegistrationResult =
  | { status: "pending" | "revoked"; agentId: string }
  | { status: "active"; agentId: string; accessToken: string; certificate: GivenCertificate };

/** The answer to an active agent: this certificate, and a new JWT. */
export async function answerActive(
  signingKeys: SigningKeyRing,
  identity: SpiffeIdentity & { publicKey: AgentPublicKey },
  { pem, notAfter, agentCaCertificatePem }: GivenCertificate,
): Promise<RegistrationResult> {
  const accessToken = await issueAccessToken(signingKeys, identity);
  const certificate = { pem, notAfter, agentCaCertificatePem };
  return { status: "active", agentId: identity.agentId, accessToken, certificate };
}
