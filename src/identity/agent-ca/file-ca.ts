import { readFile } from "node:fs/promises";
import { IngestError } from "../../errors.js";
import { WatchedFiles } from "../../lib/watched-files.js";
import { lockInTransaction } from "../../store/advisory-locks.js";
import type { Database } from "../../store/database.js";
import { activateAgentCa, isAgentCaRetired } from "../../store/identity/certificate-authorities.js";
import type { SigningCa } from "../client-certificates/issue-client-certificate.js";
import type { KeyEvents } from "../key-events.js";
import { sealKey } from "./sealed-key.js";
import { readSigningCa, type SigningCaSource, toCertificateAuthority } from "./signing-ca.js";

/** What {@link openFileCa} needs. */
export interface FileCaOptions {
  database: Database;
  encryptionSecret?: string | undefined;
  events: KeyEvents;
}

/**
 * Signs with the CA in the operator's files, whatever the database says.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function openFileCa(
  options: FileCaOptions,
  { certFile, keyFile }: { certFile: string; keyFile: string },
): Promise<SigningCaSource> {
  const paths = [certFile, keyFile];
  const inUse = await readFiles(paths);
  let current = await takeIntoUse(options, certFile, inUse);
  let ignored: string | undefined;
  return {
    choose: async (trusted) => {
      const designated = trusted.find(({ state }) => state === "signs");
      // Somebody activated another one, in the web app or with `ca rotate`.
      const isOther = designated?.fingerprintSha256 !== current.fingerprintSha256;
      if (designated !== undefined && isOther && designated.id !== ignored) {
        ignored = designated.id;
        options.events.agentCaIgnored({ id: designated.id, certFile });
      }
      return current;
    },
    watch: (onChange, intervalMs) =>
      new WatchedFiles({
        paths,
        inUse,
        apply: async (contents) => {
          current = await takeIntoUse(options, certFile, contents);
          onChange();
        },
        onProblem: (error) => options.events.agentCaRefused(error),
        intervalMs,
      }),
  };
}

/** Its certificate is mirrored in the database, so that the web app can show it and its leaves stay good later. */
async function takeIntoUse(
  { database, encryptionSecret }: FileCaOptions,
  certFile: string,
  [certificatePem = "", keyPem = ""]: readonly string[],
): Promise<SigningCa> {
  const source = `the agent CA in ${certFile}`;
  const ca = await readSigningCa(certificatePem, keyPem, source);
  // Without a secret the key stays in its file alone.
  const sealed = encryptionSecret === undefined ? "" : await sealKey(keyPem, encryptionSecret);
  await database.transaction(async (tx) => {
    await lockInTransaction(tx, "agent-ca");
    if (await isAgentCaRetired(tx, ca.fingerprintSha256)) {
      throw new IngestError("unusable_configuration", `${source} was retired by an operator`);
    }
    await activateAgentCa(tx, toCertificateAuthority(ca, sealed, "byo"));
  });
  return ca;
}

async function readFiles(paths: readonly string[]): Promise<string[]> {
  try {
    return await Promise.all(paths.map((path) => readFile(path, "utf8")));
  } catch (cause) {
    throw new IngestError(
      "unusable_configuration",
      `INGEST_AGENT_CA_CERT, INGEST_AGENT_CA_KEY: ${(cause as Error).message}`,
      { cause },
    );
  }
}
