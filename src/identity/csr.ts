import { IngestError } from "../errors.js";
import { type AgentPublicKey, agentPublicKeyFromSpki } from "./agent-key.js";
import { Pkcs10CertificateRequest } from "./x509.js";

/** A request of one Ed25519 key is about 200 bytes. */
const MAX_CSR_BYTES = 8 * 1024;

/**
 * Demands the proof of possession: a PKCS#10 request that carries this key and is signed by it. Without it a public
 * key is only something that somebody knows.
 *
 * @throws IngestError `invalid_field`
 */
export async function requirePossession(csrDer: Uint8Array, key: AgentPublicKey): Promise<void> {
  const problem = await findProblem(csrDer, key);
  if (problem !== undefined) throw new IngestError("invalid_field", `csr_der: ${problem}`);
}

async function findProblem(csrDer: Uint8Array, key: AgentPublicKey): Promise<string | undefined> {
  if (csrDer.length === 0) return "missing; expected a PKCS#10 request (DER) signed by the agent's key";
  if (csrDer.length > MAX_CSR_BYTES) return `longer than ${MAX_CSR_BYTES} bytes`;
  let csr: Pkcs10CertificateRequest;
  try {
    csr = new Pkcs10CertificateRequest(new Uint8Array(csrDer));
  } catch {
    return "not a PKCS#10 request in DER";
  }
  const csrKey = agentPublicKeyFromSpki(new Uint8Array(csr.publicKey.rawData));
  if (csrKey?.pem !== key.pem) return "carries another key than the agent's";
  const verified = await csr.verify().catch(() => false);
  return verified ? undefined : "is not signed by the key it carries";
}
