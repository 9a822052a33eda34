import { IngestError } from "../../errors.js";
import { lockInTransaction } from "../../store/advisory-locks.js";
import type { Database, Queryable } from "../../store/database.js";
import {
  activateAgentCa,
  findAgentCaKey,
  findSigningAgentCa,
  listTrustedAgentCas,
  type TrustedAgentCa,
} from "../../store/identity/certificate-authorities.js";
import type { Transaction } from "../../store/transaction.js";
import { isExpired, type SigningCa } from "../client-certificates/issue-client-certificate.js";
import type { KeyEvents } from "../key-events.js";
import { sealKey, unsealKey } from "./sealed-key.js";
import { createAgentCa, readSigningCa, type SigningCaSource, toCertificateAuthority } from "./signing-ca.js";

/**
 * Signs with the newest CA in the database, and makes one if there is none, also when the last one expired.
 *
 * @throws IngestError `unusable_configuration`
 */
export async function openDatabaseCa(options: {
  database: Database;
  encryptionSecret?: string | undefined;
  events: KeyEvents;
  /** Until one that could not be used is tried again, in milliseconds. */
  retryMs: number;
}): Promise<SigningCaSource> {
  const { database, encryptionSecret: secret, events, retryMs } = options;
  if (secret === undefined) {
    throw new IngestError(
      "unusable_configuration",
      "the agent CA's key needs LDAP_ENCRYPTION_KEY or BETTER_AUTH_SECRET to be stored",
    );
  }
  const isNoneDesignated = async (db: Queryable) => (await findSigningAgentCa(db)) === undefined;
  const makeWhereNone = () => activateNewCa(database, secret, isNoneDesignated);
  if (await isNoneDesignated(database.db)) await makeWhereNone();
  /** When a version of a row was tried last. Each is reported once; what keeps it from signing may pass, as a date does. */
  const refused = new Map<string, number>();
  return {
    choose: async (trusted, current) => {
      const isOver = current !== undefined && isExpired(current);
      // One that was replaced never takes the place of one that expired, however the clocks of the two compare.
      const eligible = (found: readonly TrustedAgentCa[]) =>
        isOver
          ? found.filter(
              ({ state, fingerprintSha256 }) => state === "signs" && fingerprintSha256 !== current.fingerprintSha256,
            )
          : found;
      let rows = eligible(trusted);
      // Only then: somebody who replaces the active row may do so in two steps.
      if (isOver && rows.length === 0) {
        await makeWhereNone();
        rows = eligible(await listTrustedAgentCas(database.db));
      }
      let problem: unknown;
      for (const row of rows) {
        if (row.fingerprintSha256 === current?.fingerprintSha256) return current;
        const version = `${row.id} ${row.updatedAt.toISOString()}`;
        const triedAt = refused.get(version);
        if (triedAt !== undefined && performance.now() - triedAt < retryMs) continue;
        try {
          return await readDatabaseCa(database.db, row, secret);
        } catch (error) {
          if (!(error instanceof IngestError)) throw error;
          problem ??= error;
          refused.set(version, performance.now());
          if (triedAt === undefined) events.agentCaRefused(error);
        }
      }
      if (current !== undefined) return current;
      throw problem ?? new IngestError("unusable_configuration", "no agent CA in the database can sign");
    },
  };
}

/**
 * Reads a CA that is stored with its key.
 *
 * @throws IngestError `unusable_configuration`
 */
async function readDatabaseCa(db: Queryable, row: TrustedAgentCa, secret: string): Promise<SigningCa> {
  const keyPem = await openDatabaseKey(db, row, secret);
  return readSigningCa(row.certPem, keyPem, `the agent CA ${row.id} in the database`);
}

/**
 * Decrypts the private key of a stored CA.
 *
 * @throws IngestError `unusable_configuration` when there is none, or the secret does not open it
 */
export async function openDatabaseKey(
  db: Queryable,
  { id }: Pick<TrustedAgentCa, "id">,
  secret: string,
): Promise<string> {
  const sealed = (await findAgentCaKey(db, id)) ?? "";
  if (sealed === "") {
    throw new IngestError("unusable_configuration", `the agent CA ${id} in the database has no key stored`);
  }
  return unsealKey(sealed, secret);
}

/**
 * Makes a CA that signs from now on; those that did stay trusted.
 *
 * @param isWanted asked under the lock that all who change the agent CA hold
 */
export async function activateNewCa(
  database: Database,
  secret: string,
  isWanted: (tx: Transaction) => Promise<boolean> = async () => true,
): Promise<SigningCa> {
  const { certificatePem, keyPem } = await createAgentCa();
  const ca = await readSigningCa(certificatePem, keyPem, "the new agent CA");
  const row = toCertificateAuthority(ca, await sealKey(keyPem, secret), "auto");
  await database.transaction(async (tx) => {
    await lockInTransaction(tx, "agent-ca");
    if (await isWanted(tx)) await activateAgentCa(tx, row);
  });
  return ca;
}
