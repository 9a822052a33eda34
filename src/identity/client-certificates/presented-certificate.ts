import { type AgentPublicKey, agentPublicKeyFromSpki } from "../agent-key.js";
import { readCertificate } from "../x509/read-certificate.js";

/**
 * A certificate as a client showed it in the TLS handshake, where it signed with the key. So whoever shows one has that
 * key now, whoever issued it, and whether it is good or not; it proves nothing else.
 */
export interface PresentedCertificate {
  /** Lower-case hex without leading zeros. */
  serial: string;
  publicKey: AgentPublicKey;
}

/** Reads the certificate of a connection; undefined without one, and for one that carries no agent's key. */
export function readPresentedCertificate(der: Uint8Array | undefined): PresentedCertificate | undefined {
  if (der === undefined) return undefined;
  try {
    const { serial, publicKey: spki } = readCertificate(der);
    const publicKey = agentPublicKeyFromSpki(spki);
    return publicKey && { serial, publicKey };
  } catch {
    return undefined;
  }
}
