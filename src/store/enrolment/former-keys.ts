import { sql } from "drizzle-orm";
import { formerKeys } from "../schema/ingest/index.js";
import type { Transaction } from "../transaction.js";

/** Why a key is remembered that no agent has any more. */
export type KeyFate = "rejected";

/** Remembers the key of an agent that gets another one. */
export async function rememberFormerKey(
  tx: Transaction,
  key: { publicKey: string; agentId: string; fate: KeyFate },
): Promise<void> {
  const { agentId, fate } = key;
  await tx
    .insert(formerKeys)
    .values(key)
    .onConflictDoUpdate({ target: formerKeys.publicKey, set: { agentId, fate, since: sql`now()` } });
}
