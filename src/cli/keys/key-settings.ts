import { DEFAULT_JWT_KEY_FILE } from "../../config.js";
import type { CommandContext } from "../context.js";
import { findDevInstance } from "../dev/dev-instance.js";

/** Where the service keeps its keys whose database a command works on. */
export interface KeySettings {
  jwtKeyFile: string;
  /** Encrypts the agent CA's key. */
  encryptionSecret: string | undefined;
  /** The certificate of an own agent CA. */
  agentCaFile: string | undefined;
}

/** As the service has them: from the environment, or from the `dev` instance that runs in this checkout. */
export async function findKeySettings(env: CommandContext["env"]): Promise<KeySettings> {
  // Not mixed: the key file of one service and the database of another would not go together.
  const dev = env.DATABASE_URL ? undefined : await findDevInstance();
  return {
    jwtKeyFile: dev?.jwtKeyFile ?? (env.INGEST_JWT_KEY_FILE || DEFAULT_JWT_KEY_FILE),
    encryptionSecret: dev?.encryptionSecret ?? (env.LDAP_ENCRYPTION_KEY || env.BETTER_AUTH_SECRET || undefined),
    agentCaFile: env.INGEST_AGENT_CA_CERT || undefined,
  };
}
