import type { Database } from "../../store/database.js";
import { findKey, type KnownAgent } from "../../store/enrolment/known-agents.js";
import { keyLock, takeRegistrationLocks } from "../../store/enrolment/registration-locks.js";
import { insertHosts } from "../../store/hosts/hosts.js";
import { newHostOf } from "../new-keys/enrolment.js";
import type { Registration } from "../registration-request.js";

/** Gives an agent its host that never got one: the earlier service could fail between making the two. */
export async function restoreMissingHost(
  database: Database,
  { id: agentId, organisationId }: KnownAgent,
  registration: Registration,
): Promise<void> {
  await database.transaction(async (tx) => {
    await takeRegistrationLocks(tx, [keyLock(registration.publicKey.pem)]);
    const { agent } = await findKey(tx, registration.publicKey.pem);
    if (agent?.hostState !== "missing") return;
    await insertHosts(tx, [{ ...newHostOf({ agentId, organisationId }, registration), pendingTags: [] }]);
  });
}
