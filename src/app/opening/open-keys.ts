import type { Config } from "../../config/config.js";
import { type AgentCas, openAgentCas } from "../../identity/agent-ca/agent-cas.js";
import type { KeyEvents } from "../../identity/key-events.js";
import { openSigningKeyRing, type SigningKeyRing } from "../../identity/signing-keys/signing-key-ring.js";
import type { Lifetime } from "../../lib/lifetime.js";
import type { Database } from "../../store/database.js";
import type { AppTiming } from "../app-timing.js";

/** What {@link openKeys} needs. */
export interface KeysOptions {
  config: Config;
  database: Database;
  events: KeyEvents;
  timing: AppTiming;
  lifetime: Lifetime;
}

/** Opens what signs: the keys of JWTs, and the agent CAs. */
export async function openKeys({
  config,
  database,
  events,
  timing,
  lifetime,
}: KeysOptions): Promise<{ signingKeys: SigningKeyRing; agentCa: AgentCas }> {
  const signingKeys = await lifetime.open(
    "signing keys",
    () => openSigningKeyRing({ db: database.db, path: config.jwtKeyFile, events, timing: timing.signingKeys }),
    (opened) => opened.close(),
  );
  const agentCa = await lifetime.open(
    "agent CA",
    () => openAgentCas({ database, ...config.agentCa, events, timing: timing.agentCa }),
    (opened) => opened.close(),
  );
  return { signingKeys, agentCa };
}
