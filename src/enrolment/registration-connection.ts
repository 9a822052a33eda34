import type { PresentedCertificate } from "../identity/client-certificates/presented-certificate.js";
import type { CallLabels } from "../observe/call-labels.js";
import type { Registration } from "./registration-request.js";

/** The connection that a registration came over. */
export interface RegistrationConnection {
  remoteAddress: string;
  certificate: PresentedCertificate | undefined;
  call: CallLabels;
  /** Aborted when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/**
 * Whether the connection showed a certificate of the key that registers. A CSR is no proof of this moment: whoever keeps
 * an old one can send it again.
 */
export function showsOwnCertificate(
  { certificate }: RegistrationConnection,
  { publicKey }: Pick<Registration, "publicKey">,
): boolean {
  return certificate?.publicKey.pem === publicKey.pem;
}
