import { IngestError } from "../../errors.js";
import type { Queryable } from "../../store/database.js";
import { type AgentCaRecord, findAgentCaKey } from "../../store/identity/certificate-authorities.js";
import type { SigningCa } from "../client-certificates/issue-client-certificate.js";
import { readCaCertificate } from "../x509/ca-certificate.js";
import { readPemCertificates } from "../x509/read-certificate.js";
import { unsealKey } from "./sealed-key.js";
import { readSigningCa } from "./signing-ca.js";

/**
 * Whether a stored CA can sign, and why not: its key is kept elsewhere, cannot be opened with the secret, or it does not
 * sign what this service accepts. Without a secret (`locked`) only its certificate is known.
 */
export type StoredCa =
  | { kind: "fit"; ca: SigningCa }
  | { kind: "keyless" | "sealed" | "unfit" | "locked"; why: string };

/** The one place that says whether a CA in the database can sign. */
export async function readStoredCa(
  db: Queryable,
  { id, certPem }: Pick<AgentCaRecord, "id" | "certPem">,
  secret: string | undefined,
): Promise<StoredCa> {
  const source = `the CA ${id} in the database`;
  const sealed = (await findAgentCaKey(db, id)) ?? "";
  if (sealed === "") return { kind: "keyless", why: `${source} is stored without its key` };
  if (secret === undefined) {
    const unfitness = certificateProblem(certPem);
    if (unfitness !== undefined) return { kind: "unfit", why: `${source} ${unfitness}` };
    return { kind: "locked", why: `the key of ${source} is encrypted` };
  }
  const keyPem = await unsealKey(sealed, secret).catch((error: unknown) => error as Error);
  if (typeof keyPem !== "string") {
    return { kind: "sealed", why: `the key of ${source} cannot be decrypted: ${keyPem.message}` };
  }
  try {
    return { kind: "fit", ca: await readSigningCa(certPem, keyPem, source) };
  } catch (cause) {
    if (!(cause instanceof IngestError)) throw cause;
    return { kind: "unfit", why: cause.message };
  }
}

/** Why no certificate among these could sign, whatever its key is. */
function certificateProblem(certPem: string): string | undefined {
  try {
    const problems = readPemCertificates(certPem).map((der) => readCaCertificate(der).unfitness);
    return problems.length === 0 ? "is not a certificate in PEM" : problems.every(Boolean) ? problems[0] : undefined;
  } catch (cause) {
    return `cannot be read: ${(cause as Error).message}`;
  }
}
