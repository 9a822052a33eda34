import { verify } from "node:crypto";
import { promisify } from "node:util";
import { IngestError } from "../errors.js";
import { contentOf, DER_TAG, readElements } from "../lib/formats/der.js";
import { type AgentPublicKey, agentPublicKeyFromSpki, agentPublicKeyToKeyObject } from "./agent-key.js";
import { isWeakPoint } from "./ed25519-point.js";

/** A request of one Ed25519 key is about 200 bytes. */
const MAX_CSR_BYTES = 8 * 1024;
/** The DER of the AlgorithmIdentifier of Ed25519, which has no parameters (RFC 8410). */
const ED25519 = Buffer.from("300506032b6570", "hex");

const POINT_BYTES = 32;

const verifyInBackground = promisify(verify);

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
  let csr: SignedRequest;
  try {
    csr = readRequest(Buffer.from(csrDer));
  } catch {
    return "not a PKCS#10 request in DER";
  }
  if (agentPublicKeyFromSpki(csr.spki)?.pem !== key.pem) return "carries another key than the agent's";
  const isSigned =
    csr.algorithm.equals(ED25519) &&
    // The first half of such a signature would give the private key away: everybody could compute it.
    !isWeakPoint(csr.signature.subarray(0, POINT_BYTES)) &&
    (await verifyInBackground(null, csr.signed, agentPublicKeyToKeyObject(key), csr.signature));
  return isSigned ? undefined : "is not signed by the key it carries";
}

interface SignedRequest {
  /** What the signature is over. */
  signed: Buffer;
  spki: Buffer;
  algorithm: Buffer;
  signature: Buffer;
}

/**
 * Reads what proves possession (RFC 2986, section 4). The subject and what else is asked for is of no interest: a
 * certificate says what we know of the agent.
 */
function readRequest(der: Buffer): SignedRequest {
  const [request, ...trailing] = readElements(der);
  const [info, algorithm, signature, ...others] = readElements(contentOf(request, DER_TAG.sequence));
  const [version, subject, spki] = readElements(contentOf(info, DER_TAG.sequence));
  contentOf(version, DER_TAG.integer);
  contentOf(subject, DER_TAG.sequence);
  contentOf(spki, DER_TAG.sequence);
  const bits = contentOf(signature, DER_TAG.bitString);
  if (info === undefined || spki === undefined || algorithm === undefined) throw new Error("an element is missing");
  if (trailing.length > 0 || others.length > 0) throw new Error("more than a request");
  // The first byte counts the unused bits at the end.
  if (bits[0] !== 0) throw new Error("a signature that is not whole bytes");
  return { signed: info.encoded, spki: spki.encoded, algorithm: algorithm.encoded, signature: bits.subarray(1) };
}
