import { IngestError } from "../../errors.js";
import { lockInTransaction } from "../../store/advisory-locks.js";
import type { Database, Queryable } from "../../store/database.js";
import { findSigningAgentCa, retireAgentCaRow } from "../../store/identity/certificate-authorities.js";
import type { SigningCa } from "../client-certificates/issue-client-certificate.js";
import { type AgentCaOverview, describeAgentCas, type SigningSource } from "./agent-ca-overview.js";
import { activateNewCa, openDatabaseKey } from "./database-ca.js";

/**
 * Makes a new agent CA that signs from now on; the one that did stays trusted.
 *
 * @param secret encrypts its key
 * @param force also when the secret does not open the key of the CA that signs now: it may be lost
 * @throws IngestError `operation_refused`
 */
export async function rotateAgentCa(
  database: Database,
  { secret, force }: { secret: string; force: boolean },
): Promise<SigningCa> {
  const signing = await findSigningAgentCa(database.db);
  if (signing !== undefined && !force) {
    // Whether that CA is fit to sign does not matter: this is how to get rid of one that is not.
    await openDatabaseKey(database.db, signing, secret).catch((cause: unknown) => {
      if (!(cause instanceof IngestError)) throw cause;
      throw new IngestError(
        "operation_refused",
        `${cause.message}\nA service with another secret could not read the new CA's key. If the secret was lost and ` +
          "every instance has this new one, use --force",
        { cause },
      );
    });
  }
  return activateNewCa(database, secret);
}

/** How an agent CA is retired, beside a service that signs with one of these. */
export interface Retirement extends SigningSource {
  /** Also while agents depend on it. */
  force: boolean;
}

/**
 * Stops trusting an agent CA. Agents that depend on it lose their stream, and take a new certificate when they register
 * again, by themselves.
 *
 * @throws IngestError `operation_refused`
 */
export async function retireAgentCa(database: Database, id: string, options: Retirement): Promise<void> {
  await requireRetirableCa(database.db, id, options);
  await database.transaction(async (tx) => {
    await lockInTransaction(tx, "agent-ca");
    if ((await findSigningAgentCa(tx))?.id === id) throw refused(`agent CA ${id} signs now`);
    await retireAgentCaRow(tx, id);
  });
}

/**
 * The agent CA, if it may be retired so.
 *
 * @throws IngestError `operation_refused`
 */
export async function requireRetirableCa(
  db: Queryable,
  id: string,
  { force, ...source }: Retirement,
): Promise<AgentCaOverview> {
  const ca = (await describeAgentCas(db, source)).find((candidate) => candidate.id === id);
  if (ca === undefined) throw refused(`there is no agent CA ${id}`);
  if (ca.state === "retired") throw refused(`agent CA ${id} is retired already`);
  if (ca.state === "signs") throw refused(`agent CA ${id} signs; make another one do so first (ca rotate)`);
  if (ca.agents > 0 && !force) {
    throw refused(
      `${ca.agents} agents depend on it, until ${ca.dependedOnUntil?.toISOString()}; with --force they are cut off ` +
        "and have to register again",
    );
  }
  return ca;
}

function refused(why: string): IngestError {
  return new IngestError("operation_refused", why);
}
