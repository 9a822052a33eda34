import { readFile } from "node:fs/promises";
import { encryptionSecretIn } from "../../../config/environment.js";
import { readSigningCa } from "../../../identity/agent-ca/signing-ca.js";
import { readStoredCa } from "../../../identity/agent-ca/stored-ca.js";
import type { Queryable } from "../../../store/database.js";
import { findSigningAgentCa } from "../../../store/identity/certificate-authorities.js";
import { type Check, error, type Finding, ok, type Subject, skipped } from "../check.js";
import { checkDates } from "../dates.js";

const STORED_REMEDY = "ct-ops-ingest ca rotate: agents move to the new one as they renew";
const REMEDY = {
  keyless: "set INGEST_AGENT_CA_CERT and INGEST_AGENT_CA_KEY to the files it came from",
  locked: "set LDAP_ENCRYPTION_KEY, or BETTER_AUTH_SECRET, as the web app has it",
  sealed: "set LDAP_ENCRYPTION_KEY, or BETTER_AUTH_SECRET, to what it was when the CA was made",
  unfit: STORED_REMEDY,
};
const FILES_REMEDY = "put a new CA into these files: agents move to it as they renew";

/** The CA that signs client certificates: there, decryptable, with the key that belongs to it, in date. */
export const agentCaCheck: Check = {
  name: "agent CA",
  run: async ({ variables, db }) => {
    const { INGEST_AGENT_CA_CERT: certFile, INGEST_AGENT_CA_KEY: keyFile } = variables;
    if (certFile !== undefined && keyFile !== undefined) {
      const [certificatePem, keyPem] = await Promise.all([readFile(certFile, "utf8"), readFile(keyFile, "utf8")]);
      return checkPair(certificatePem, keyPem, `the CA in ${certFile}`, FILES_REMEDY);
    }
    return db === undefined ? [skipped("the database cannot be reached")] : checkStored(db, variables);
  },
};

async function checkStored(db: Queryable, variables: Subject["variables"]): Promise<Finding[]> {
  const stored = await findSigningAgentCa(db);
  if (stored === undefined) return [ok("there is none yet: the service makes one when it starts")];
  const found = await readStoredCa(db, stored, encryptionSecretIn(variables));
  if (found.kind === "fit") return [checkDates(`the CA ${stored.id} in the database`, found.ca, STORED_REMEDY)];
  return [error(found.why, REMEDY[found.kind])];
}

/** As the service does before it signs, a certificate on trial included. */
async function checkPair(certificatePem: string, keyPem: string, source: string, remedy: string): Promise<Finding[]> {
  try {
    return [checkDates(source, await readSigningCa(certificatePem, keyPem, source), remedy)];
  } catch (cause) {
    return [error((cause as Error).message, remedy)];
  }
}
