import { sql } from "drizzle-orm";
import { index, text, timestamp } from "drizzle-orm/pg-core";
import { ingest } from "./schema.js";

/** Keys that no agent has any more, and that are not to be taken for new ones. No reference: their agent may be gone. */
export const formerKeys = ingest.table(
  "former_keys",
  {
    publicKey: text("public_key").primaryKey(),
    agentId: text("agent_id").notNull(),
    /**
     * `rejected`: it adopted the agent, an operator turned it away, and the agent's own key took all back. `deleted`: the
     * agent was deleted (a trigger writes it, whoever deletes), so whoever comes with the key waits for an operator.
     */
    fate: text("fate").notNull(),
    since: timestamp("since", { withTimezone: true }).notNull().defaultNow(),
  },
  (t) => [index("former_keys_deleted_idx").on(t.since).where(sql`${t.fate} = 'deleted'`)],
);
