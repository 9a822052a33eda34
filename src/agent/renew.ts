import { X509Certificate } from "node:crypto";
import type { AgentKey } from "./agent-key.js";
import { openConnection, type ServiceAddress } from "./connection.js";
import type { AgentIdentity } from "./register.js";

/** A certificate with less of its life left than this is renewed. */
const DUE_SHARE = 1 / 3;
const CALL_TIMEOUT_MS = 60_000;

/** Whether it is time to renew a certificate: less than a third of its life is left. */
export function isRenewalDue(certificatePem: string, now = Date.now()): boolean {
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  const [notBefore, notAfter] = [Date.parse(validFrom), Date.parse(validTo)];
  return notAfter - now < DUE_SHARE * (notAfter - notBefore);
}

/** What a renewal takes. */
export interface RenewOptions extends ServiceAddress {
  key: AgentKey;
  identity: AgentIdentity;
  signal?: AbortSignal;
  /** How long it may take, connecting included, in milliseconds; a minute unless told otherwise. */
  timeoutMs?: number;
}

/**
 * Renews the client certificate of an agent; the one it has stays good until it expires.
 *
 * @returns the identity with the certificate to go on with
 * @throws ConnectError
 */
export async function renewCertificate(options: RenewOptions): Promise<AgentIdentity> {
  const { key, identity, signal, timeoutMs = CALL_TIMEOUT_MS, ...service } = options;
  const connection = openConnection(service, identity);
  try {
    const response = await connection.client.renewCertificate(
      { agentId: identity.agentId, csrDer: await key.createCsr() },
      { timeoutMs, ...(signal && { signal }) },
    );
    return {
      ...identity,
      certificatePem: response.clientCertPem,
      agentCaCertificatePem: response.agentCaCertPem,
      certificateNotAfter: new Date(Number(response.clientCertNotAfterUnix) * 1000),
    };
  } finally {
    connection.close();
  }
}
