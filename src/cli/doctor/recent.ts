import type { Database } from "../../store/database.js";
import { listRecentRefusals, type RefusalRow } from "../../store/enrolment/refusals.js";
import { names, optional, sentences } from "../terminal/column.js";
import type { Layout } from "../terminal/layout.js";
import { formatTable } from "../terminal/table.js";

const SHOWN = 50;

/** The newest refusals, whoever was refused: also callers that nobody can name, whose TLS handshake failed. */
export async function readRecentRefusals({ db }: Database): Promise<RefusalRow[]> {
  return listRecentRefusals(db, SHOWN);
}

/** The same for people. */
export function formatRecentRefusals(refusals: readonly RefusalRow[], layout: Layout): string {
  if (refusals.length === 0) return "nothing was refused in the last seven days";
  return formatTable(
    ["TIME", names("FROM"), "CALL", sentences("REASON"), optional("AGENT"), sentences("TOLD")],
    refusals.map(({ refusedAt, remoteAddress, method, reason, agentId, message }) => [
      refusedAt,
      remoteAddress,
      method,
      reason,
      agentId ?? "",
      message,
    ]),
    layout,
  );
}
