import { and, asc, eq, isNull } from "drizzle-orm";
import type { Queryable } from "../database.js";
import { addressRemarks } from "../schema/ingest/index.js";
import { agents } from "../schema/platform/index.js";
import type { Transaction } from "../transaction.js";

/** A host that an agent's machine has addresses in common with, under another name. */
export type AddressRemark = Omit<typeof addressRemarks.$inferSelect, "agentId">;

/** Remembers what is remarked of new agents. */
export async function insertAddressRemarks(
  tx: Transaction,
  remarked: readonly { agentId: string; remarks: readonly AddressRemark[] }[],
): Promise<void> {
  const rows = remarked.flatMap(({ agentId, remarks }) => remarks.map((remark) => ({ agentId, ...remark })));
  if (rows.length > 0) await tx.insert(addressRemarks).values(rows);
}

/** Forgets what was remarked of an agent, which becomes another one. */
export async function forgetAddressRemarks(tx: Transaction, agentId: string): Promise<void> {
  await tx.delete(addressRemarks).where(eq(addressRemarks.agentId, agentId));
}

/** What is remarked of the agents that wait for approval, by their ids. */
export async function listAddressRemarks(
  db: Queryable,
  { agentId }: { agentId?: string } = {},
): Promise<Map<string, AddressRemark[]>> {
  const rows = await db
    .select({ remark: addressRemarks })
    .from(addressRemarks)
    .innerJoin(agents, eq(agents.id, addressRemarks.agentId))
    .where(
      and(
        eq(agents.status, "pending"),
        isNull(agents.deletedAt),
        agentId === undefined ? undefined : eq(agents.id, agentId),
      ),
    )
    .orderBy(asc(addressRemarks.hostname), asc(addressRemarks.hostId));
  const byAgent = new Map<string, AddressRemark[]>();
  for (const { remark } of rows) {
    const { agentId: of, ...rest } = remark;
    byAgent.set(of, [...(byAgent.get(of) ?? []), rest]);
  }
  return byAgent;
}
