import { createId } from "../lib/ids.js";
import type { Database } from "../store/database.js";
import { insertHosts } from "../store/hosts.js";
import { keyLock, takeRegistrationLocks } from "../store/registration-locks.js";
import { findKnownAgent, type KnownAgent } from "../store/registrations.js";
import type { Registration } from "./registration-request.js";

/** Gives an agent its host that never got one: the earlier service could fail between making the two. */
export async function restoreMissingHost(
  database: Database,
  { id: agentId, organisationId }: KnownAgent,
  { publicKey, hostname, os, osVersion, arch }: Registration,
): Promise<void> {
  await database.transaction(async (tx) => {
    await takeRegistrationLocks(tx, [keyLock(publicKey.pem)]);
    const current = await findKnownAgent(tx, publicKey.pem);
    if (current?.hostState !== "missing") return;
    const id = createId();
    await insertHosts(tx, [
      { id, organisationId, agentId, hostname, os, osVersion: osVersion || null, arch, pendingTags: [] },
    ]);
  });
}
